"""Makes resample.json: grids resampled by scipy where cells become smaller (linear interpolation) and by Pillow where they become larger (its
bilinear filter is a triangle as wide as the new cells, applied axis by axis), about the same middle.

    python resample.py    (scipy 1.17, Pillow 13)
"""
import json
import os

import numpy as np
from PIL import Image
from scipy import ndimage


def interpolate(values, cell, dims, edge):
    axes = [((np.arange(m) + 0.5 - m / 2) * edge / c + n / 2 - 0.5) for n, m, c in zip(values.shape, dims, cell)]
    out = ndimage.map_coordinates(values, np.meshgrid(*axes, indexing="ij"), order=1, mode="nearest")
    inside = [(a >= -0.5) & (a <= n - 0.5) for a, n in zip(axes, values.shape)]
    return np.where(np.einsum("i,j,k->ijk", *inside), out, values.min())


def shrink(values, dims):
    for axis, n in enumerate(dims):
        rows = np.moveaxis(values, axis, -1)
        flat = np.ascontiguousarray(rows.reshape(-1, rows.shape[-1]), dtype=np.float32)
        image = Image.fromarray(flat).resize((n, flat.shape[0]), Image.Resampling.BILINEAR)
        values = np.moveaxis(np.asarray(image).reshape(rows.shape[:-1] + (n,)), -1, axis)
    return values


def case(name, fit, shape, cell, dims, edge, want):
    return {"name": name, "fit": fit, "shape": shape, "cell": cell, "dims": dims, "edge": edge, "want": [float(f"{v:.7g}") for v in want.ravel()]}


def source(shape):  # what the test makes, too
    return (np.arange(np.prod(shape)) * 37 % 101).reshape(shape).astype(np.float64)


cases = []
for name, fit, shape, cell, dims, edge in [
    ("thick slices", "crop", [3, 5, 4], [0.003, 0.001, 0.001], [9, 5, 4], 0.001),
    ("cut and filled", "crop", [4, 6, 5], [0.002, 0.001, 0.0015], [9, 4, 7], 0.001),
    ("all inside", "whole", [3, 4, 5], [0.002, 0.001, 0.001], [8, 8, 8], 0.75e-3),
    ("size unknown", "whole", [2, 3, 4], [0, 0, 0], [6, 6, 6], 4 / 6),
]:
    cells = cell if cell[0] else [1, 1, 1]
    cases.append(case(name, fit, shape, cell, dims, edge if fit == "crop" else 0, interpolate(source(shape), cells, dims, edge)))
for name, shape, dims in [("a quarter", [8, 12, 16], [2, 3, 4]), ("2.5 to 1", [5, 10, 15], [2, 4, 6])]:
    cases.append(case(name, "whole", shape, [0.001] * 3, dims, 0, shrink(source(shape), dims)))
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "resample.json"), "w") as f:
    json.dump(cases, f, indent=None, separators=(",", ":"))
    f.write("\n")
