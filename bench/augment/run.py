"""Augmentations beside NumPy and SciPy on one core: processor time of a sample, the least of some alternating rounds. Prints a Markdown table. Points are 25,000 in a cube;
"to 16^3" voxelizes them too, in NumPy by the rule of the 3D MNIST archive.

usage: run.py AUGMENT [--rounds 5]      AUGMENT is bench/augment, built
"""
import argparse
import os
import resource
import subprocess
import time

for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOMAXPROCS"]:
    os.environ[name] = "1"

import numpy as np  # noqa: E402
from scipy import ndimage  # noqa: E402
from scipy.spatial.transform import Rotation  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("augment")
parser.add_argument("--rounds", type=int, default=5)
args = parser.parse_args()

r = np.random.default_rng(1)
points = r.uniform(-1, 1, (25_000, 3))
grids = {n: r.random((n, n, n), dtype=np.float32) for n in (16, 64)}


def rotate(p):
    return p @ Rotation.random(rng=r).as_matrix()


def jitter(p):
    return p + r.normal(0, 0.01, p.shape)


def archive(p):
    p = p @ Rotation.from_euler("ZYX", r.normal(0, [180, 90, 90]), degrees=True).as_matrix()
    return p + r.uniform(-0.25, 0.25, p.shape) * p.std(0)


def dropout(p):
    return p[r.random(len(p)) >= 0.5 * r.random()]


def voxelize(p, n=16):
    low, high = p.min(0) - 0.001, p.max(0) + 0.001
    margin = (max(high - low) - (high - low)) / 2
    low, high = low - margin, high + margin
    x, y, z = np.minimum(((p - low) / (high - low) * n).astype(np.int64), n - 1).T
    count = np.bincount((z * n + y) * n + x, minlength=n**3)
    return count / count.max()


def turn(g):
    m = Rotation.random(rng=r).as_matrix()
    centre = (np.array(g.shape) - 1) / 2
    return ndimage.affine_transform(g, m, centre - m @ centre, order=1, cval=0)


def mirror(g):
    return np.ascontiguousarray(g[:, :, ::-1])


def noise(g):
    return np.clip(g + r.normal(0, 0.05, g.shape).astype(np.float32), 0, 1)


cases = [
    ("points", "rotate3d", lambda: rotate(points)),
    ("points", "jitter", lambda: jitter(points)),
    ("points", "mnist3d", lambda: archive(points)),
    ("points", "dropout", lambda: dropout(points)),
    ("points16", "rotate3d", lambda: voxelize(rotate(points))),
    ("points16", "rotate3d,jitter", lambda: voxelize(jitter(rotate(points)))),
    ("points16", "mnist3d", lambda: voxelize(archive(points))),
]
for n, g in grids.items():
    cases += [
        (f"grid{n}", "rotate3d", lambda g=g: turn(g)),
        (f"grid{n}", "mirror:probability=1", lambda g=g: mirror(g)),
        (f"grid{n}", "noise", lambda g=g: noise(g)),
    ]


def peer(f):
    """Milliseconds of a call."""
    n, start = 0, time.process_time()
    while n < 3 or time.process_time() - start < 0.2:
        f()
        n += 1
    return (time.process_time() - start) / n * 1000


def used(data, recipe, count):
    """Seconds of processor time of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([args.augment, data, recipe, str(count)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ours(data, recipe, count):
    """Milliseconds of a sample, without the start of the process."""
    return (used(data, recipe, count) - used(data, recipe, 0)) / count * 1000


names = {"points": "25,000 points", "points16": "25,000 points, to 16^3", "grid16": "grid 16^3", "grid64": "grid 64^3"}
print("| data | augmentation | NumPy, SciPy | Voxelstream | ratio |\n|---|---|---|---|---|")
for data, recipe, f in cases:
    count = {"grid16": 5000, "grid64": 50}.get(data, 300)
    theirs, own = zip(*((peer(f), ours(data, recipe, count)) for _ in range(args.rounds)))
    print(f"| {names[data]} | `{recipe.split(':')[0]}` | {min(theirs):.3f} ms | {min(own):.3f} ms | {min(theirs) / min(own):.1f} |", flush=True)
