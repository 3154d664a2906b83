"""Makes resample.json: grids resampled by scipy where cells become smaller (linear interpolation) and by Pillow where they become larger (its
bilinear filter is a triangle as wide as the new cells, applied axis by axis), about the same middle. Cubic and nearest are Pillow's in both directions;
nearest, and linear within the outermost centres, are those of SimpleITK too.

    python resample.py    (scipy 1.17, Pillow 13, SimpleITK 2.5)
"""
import json
import os

import numpy as np
import SimpleITK as sitk
from PIL import Image
from scipy import ndimage


def interpolate(values, cell, dims, edge):
    axes = [((np.arange(m) + 0.5 - m / 2) * edge / c + n / 2 - 0.5) for n, m, c in zip(values.shape, dims, cell)]
    out = ndimage.map_coordinates(values, np.meshgrid(*axes, indexing="ij"), order=1, mode="nearest")
    inside = [(a >= -0.5) & (a <= n - 0.5) for a, n in zip(axes, values.shape)]
    return np.where(np.einsum("i,j,k->ijk", *inside), out, values.min())


def resize(values, dims, how=Image.Resampling.BILINEAR):
    for axis, n in enumerate(dims):
        rows = np.moveaxis(values, axis, -1)
        flat = np.ascontiguousarray(rows.reshape(-1, rows.shape[-1]), dtype=np.float32)
        image = Image.fromarray(flat).resize((n, flat.shape[0]), how)
        values = np.moveaxis(np.asarray(image).reshape(rows.shape[:-1] + (n,)), -1, axis)
    return values


def itk(values, cell, spacing, dims, how):
    """What SimpleITK gives for a grid of some spacing about the same middle. Its axes are x, y, z."""
    image = sitk.GetImageFromArray(values.astype(np.float32))
    image.SetSpacing([c * 1000 for c in reversed(cell)])
    start = [(n * c * 1000 - c * 1000 - m * s + s) / 2 for n, c, m, s in zip(values.shape, cell, dims, spacing)]
    return sitk.GetArrayFromImage(sitk.Resample(image, list(reversed(dims)), sitk.Transform(), how, list(reversed(start)), list(reversed(spacing)),
                                                image.GetDirection(), float(values.min()), sitk.sitkFloat32))


def case(name, fit, shape, cell, dims, edge, want, spacing="", how="linear"):
    return {"name": name, "fit": fit, "shape": shape, "cell": cell, "dims": dims, "edge": edge, "spacing": spacing, "interpolation": how,
            "want": [float(f"{v:.7g}") for v in want.ravel()]}


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
    cases.append(case(name, "whole", shape, [0.001] * 3, dims, 0, resize(source(shape), dims)))
    for how, filter in [("cubic", Image.Resampling.BICUBIC), ("nearest", Image.Resampling.NEAREST)]:
        cases.append(case(f"{name}, {how}", "whole", shape, [0.001] * 3, dims, 0, resize(source(shape), dims, filter), how=how))
for how, filter in [("linear", Image.Resampling.BILINEAR), ("cubic", Image.Resampling.BICUBIC), ("nearest", Image.Resampling.NEAREST)]:
    cases.append(case(f"to 2x1x0.5 mm, {how}", "auto", [6, 4, 5], [0.001, 0.003, 0.001], [3, 12, 10], 0, resize(source([6, 4, 5]), [3, 12, 10], filter),
                      "2x1x0.5", how))
for name, shape, cell, dims, spacing in [("to finer cells", [5, 6, 7], [0.002, 0.001, 0.0015], [9, 9, 9], [0.7, 0.6, 0.9]),
                                         ("to larger cells", [5, 6, 7], [0.002, 0.001, 0.0015], [3, 3, 3], [3.1, 1.7, 2.9])]:
    cases.append(case(f"{name}, SimpleITK", "auto", shape, cell, dims, 0, itk(source(shape), cell, spacing, dims, sitk.sitkNearestNeighbor),
                      "x".join(map(str, spacing)), "nearest"))
cases.append(case("linear, SimpleITK", "crop", [6, 7, 8], [0.002, 0.001, 0.0015], [11, 7, 11], 0,
                  itk(source([6, 7, 8]), [0.002, 0.001, 0.0015], [0.9, 0.8, 0.9], [11, 7, 11], sitk.sitkLinear), "0.9x0.8x0.9"))
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "resample.json"), "w") as f:
    json.dump(cases, f, indent=None, separators=(",", ":"))
    f.write("\n")
