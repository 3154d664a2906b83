"""Makes golden.json: clouds with points on cell edges, voxelized by pyntcloud itself and, for the two archives of the 3D MNIST authors, by numpy as
their notebook does it.

    python golden.py    (pyntcloud 0.3, numpy < 2)
"""
import importlib.metadata
import json
import os

import numpy as np
import pandas as pd
import pyntcloud


def archive(points, n, padding, order):
    lo, hi = points.min(0) - padding, points.max(0) + padding
    margin = max(hi - lo) - (hi - lo)
    lo, hi = lo - margin / 2, hi + margin / 2
    cell = [np.clip(np.searchsorted(np.linspace(lo[a], hi[a], n + 1), points[:, a]) - 1, 0, n - 1) for a in range(3)]
    counts = np.zeros((n, n, n))
    np.add.at(counts, tuple(cell["xyz".index(a)] for a in order), 1)
    return counts / counts.max()


def library(points, n):
    cloud = pyntcloud.PyntCloud(pd.DataFrame(points, columns=["x", "y", "z"]))
    grid = cloud.structures[cloud.add_structure("voxelgrid", n_x=n, n_y=n, n_z=n)]
    return grid.get_feature_vector(mode="density")


rng = np.random.default_rng(7)
cases = []
for name, points in {
    "box": rng.integers(0, 5, (60, 3)) / 4 * [1.0, 2.0, 0.5],  # most points lie on edges
    "normal": rng.normal(size=(60, 3)).astype(np.float32).astype(float),
    "map": rng.uniform(0, 20, (60, 3)) + [6.9e5, 5.3e6, 120.0],
    "plane": np.column_stack([rng.uniform(-1, 1, (40, 2)), np.zeros(40)]),
}.items():
    for n in (4, 8):
        entry = {"name": name, "n": n, "points": points.ravel().tolist()}
        entry["mnist3d"] = (archive(points, n, 0, "zxy") if n == 8 else archive(points, n, 0.001, "zyx")).ravel().tolist()
        entry["pyntcloud"] = library(points, n).ravel().tolist()
        cases.append(entry)

# Values are sparse: [index, value] pairs.
for c in cases:
    for m in ("mnist3d", "pyntcloud"):
        c[m] = [[i, v] for i, v in enumerate(c[m]) if v]
json.dump({"pyntcloud": importlib.metadata.version("pyntcloud"), "numpy": np.__version__, "cases": cases},
          open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden.json"), "w"), separators=(",", ":"))
