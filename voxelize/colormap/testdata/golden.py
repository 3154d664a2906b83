"""Makes ../tables.bin and golden.json from matplotlib: the palettes, and values mapped by its norms.

    python golden.py    (numpy, matplotlib 3.x)

tables.bin holds 256 entries of red, green and blue for each palette as float32, little-endian, in the order of names.
"""
import hashlib
import json
import math
import os

import matplotlib
import numpy as np
from matplotlib import cm, colormaps
from matplotlib.colors import LogNorm, Normalize

here = os.path.dirname(os.path.abspath(__file__))
names = (
    "Oranges viridis gray plasma inferno magma cividis turbo Greys Purples Blues Greens Reds YlOrRd RdBu Spectral "
    "coolwarm bone hot jet"
).split()


def bits(a):
    return np.asarray(a, np.float32).view(np.uint32).ravel().tolist()


def finite(values):
    return [x if math.isfinite(x) else str(x) for x in map(float, values)]


def table(name):
    return np.asarray(colormaps[name](np.arange(256))[:, :3], "<f4").tobytes()


with open(os.path.join(here, "..", "tables.bin"), "wb") as f:
    for name in names:
        f.write(table(name))

out = {"matplotlib": matplotlib.__version__, "numpy": np.__version__}
out["palettes"] = {n + r: hashlib.sha256(table(n + r)).hexdigest() for n in names for r in ("", "_r")}

edge = [0.0, -0.0, -1e-9, -3.0, 1.0, 1.0000001, 7.0, 0.99609375, np.nextafter(0.99609375, 0), 255 / 256, 0.5,
        np.nextafter(0.5, 0), 1 / 256, 1e-300]
out["edge"] = {"x": edge, "rgba": bits(colormaps["Oranges"](np.array(edge)))}
out["nan"] = bits(colormaps["Oranges"](np.array([np.nan])))

# Indices of random rows, found by looking the colours up in the palette: gray has 256 different entries.
rng = np.random.default_rng(1)
entries = colormaps["gray"](np.arange(256))[:, 0]
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
        index = np.searchsorted(entries, cm.ScalarMappable(cmap="gray").to_rgba(v)[:, 0])
        rows.append({"type": dtype, "values": [float(x) for x in v], "index": index.tolist()})
v = np.full(8, 0.25)
index = np.searchsorted(entries, cm.ScalarMappable(cmap="gray").to_rgba(v)[:, 0])
rows.append({"type": "float64", "values": v.tolist(), "index": index.tolist()})
out["rows"] = rows

# Norms with and without a range, on values within, below and above it, and on values that are not finite.
special = [np.nan, np.inf, -np.inf, 0.0, -1.0, 1.0, 10.0, 100.0, 1000.0, 0.001]
scales = []
for dtype in ("float64", "float32"):
    for log in (False, True):
        for low, high in ((None, None), (1, 1000), (-2.5, 3.7), (0.01, 55.5), (7, 7)):
            for colors in ({}, {"under": "#102030", "over": "#c0ffee", "bad": "#ff00ff80"}):
                if log and low is not None and low <= 0:
                    continue
                v = np.concatenate([10 ** rng.uniform(-3, 4, 16), rng.normal(size=8) * 4, special]).astype(dtype)
                if log and dtype == "float32":
                    v = v[:-len(special)]  # the last bit of numpy's float32 logarithms depends on the processor
                if low is None:
                    v = v[np.isfinite(v)]
                norm = (LogNorm if log else Normalize)(low, high)
                name = names[len(scales) % len(names)] + ("_r" if len(scales) % 3 == 0 else "")
                cmap = colormaps[name].with_extremes(**colors) if colors else colormaps[name]
                with np.errstate(all="ignore"):
                    rgba = cm.ScalarMappable(norm, cmap).to_rgba(v)
                scales.append({"type": dtype, "log": log, "range": [low, high] if low is not None else None,
                               "map": name, **colors, "values": finite(v), "rgba": bits(rgba)})
out["scales"] = scales
json.dump(out, open(os.path.join(here, "golden.json"), "w"), separators=(",", ":"))
