"""Makes golden.json from matplotlib: the palettes, edge values, and rows normalised as the 3D MNIST tutorial does it.

    python golden.py    (numpy, matplotlib 3.x)
"""
import json
import os

import matplotlib
import numpy as np
from matplotlib import cm, colormaps


def bits(a):
    return np.asarray(a, np.float32).view(np.uint32).ravel().tolist()


here = os.path.dirname(os.path.abspath(__file__))
names = ["Oranges", "viridis", "gray"]
out = {"matplotlib": matplotlib.__version__, "numpy": np.__version__}
out["palettes"] = {n: bits(colormaps[n](np.arange(256))[:, :3]) for n in names}

edge = [0.0, -0.0, -1e-9, -3.0, 1.0, 1.0000001, 7.0, 0.99609375, np.nextafter(0.99609375, 0), 255 / 256, 0.5, np.nextafter(0.5, 0), 1 / 256, 1e-300]
out["edge"] = {"x": edge, "rgba": bits(colormaps["Oranges"](np.array(edge)))}
out["nan"] = bits(colormaps["Oranges"](np.array([np.nan])))

# Indices of random rows, found by looking the colours up in the palette: gray has 256 different entries.
rng = np.random.default_rng(1)
table = colormaps["gray"](np.arange(256))[:, 0]
rows = []
for dtype in ("float64", "float32"):
    for make in (
        lambda: rng.integers(0, 20, 64) / 97,
        lambda: rng.normal(size=64),
        lambda: rng.uniform(5, 6, 64),
        lambda: rng.integers(0, 257, 64) / 256,
        lambda: rng.normal(size=64) * 1e6 + 1e7,
    ):
        v = make().astype(dtype)
        index = np.searchsorted(table, cm.ScalarMappable(cmap="gray").to_rgba(v)[:, 0])
        rows.append({"type": dtype, "values": [float(x) for x in v], "index": index.tolist()})
v = np.full(8, 0.25)
rows.append({"type": "float64", "values": v.tolist(), "index": np.searchsorted(table, cm.ScalarMappable(cmap="gray").to_rgba(v)[:, 0]).tolist()})
out["rows"] = rows
json.dump(out, open(os.path.join(here, "golden.json"), "w"), separators=(",", ":"))

with open(os.path.join(here, "..", "viridis.txt"), "w") as f:
    for r, g, b in colormaps["viridis"].colors:
        f.write(f"{r} {g} {b}\n")
