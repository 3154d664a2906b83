"""Voxelizing points to a fitted grid of counts divided by the largest, and mapping values to colours, beside the libraries that a user of Python would take:
alternating rounds, one core, processor time, so that other programs on the machine count little. Prints a Markdown table of microseconds a call.

usage: run.py VOXELIZE [--rounds 5] [--seconds 0.5]        VOXELIZE is bench/voxelize, built
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
import numpy as np  # noqa: E402
import open3d  # noqa: E402
from matplotlib import cm  # noqa: E402
from pyntcloud.structures.voxelgrid import VoxelGrid  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("voxelize")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--seconds", type=float, default=0.5)
args = parser.parse_args()


def histogramdd(points, grid):
    """numpy's own function for the job."""
    def run():
        counts, _ = np.histogramdd(points, bins=grid)
        return counts / counts.max()
    return run


def bincount(points, grid):
    """numpy with the fewest and cheapest operations known to us: columns, and one count of flat indices."""
    x, y, z = (np.ascontiguousarray(points[:, i]) for i in range(3))

    def run():
        low, high = [c.min() for c in (x, y, z)], [c.max() for c in (x, y, z)]
        edge = max(h - l for l, h in zip(low, high)) / grid * (1 + 1e-6)
        index = 0
        for axis, c in ((2, z), (1, y), (0, x)):
            origin = (low[axis] + high[axis]) / 2 - grid * edge / 2
            index = index * grid + ((c - origin) / edge).astype(np.int64)
        counts = np.bincount(index, minlength=grid**3)
        return counts / counts.max()
    return run


def with_open3d(points, grid):
    """Only which voxels are occupied."""
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    edge = (points.max(0) - points.min(0)).max() / grid
    return lambda: open3d.geometry.VoxelGrid.create_from_point_cloud(cloud, edge)


class Points(np.ndarray):
    """An array as pyntcloud expects it: with a method that numpy 2 has removed."""
    def ptp(self, axis):
        return np.ptp(np.asarray(self), axis)


def with_pyntcloud(points, grid):
    points = points.view(Points)

    def run():
        voxels = VoxelGrid(points=points, n_x=grid, n_y=grid, n_z=grid, regular_bounding_box=True)
        voxels.compute()
        return voxels.get_feature_vector(mode="density")
    return run


def with_matplotlib(values):
    return lambda: cm.ScalarMappable(cmap="Oranges").to_rgba(values)


def by_hand(values):
    """numpy with a table of colours, as matplotlib's results without its checks."""
    table = cm.ScalarMappable(cmap="Oranges").cmap(np.arange(256))[:, :3].astype("f4")

    def run():
        low, high = values.min(), values.max()
        return table[np.minimum((values - low) * (256 / (high - low)), 255).astype(np.uint8)]
    return run


def theirs(run):
    run()
    begin, calls = time.process_time(), 0
    while time.process_time() - begin < args.seconds:
        run()
        calls += 1
    return (time.process_time() - begin) / calls * 1e6


def ours(path, method, grid):
    out = subprocess.run([args.voxelize, path, method, str(grid), str(args.seconds)], check=True, capture_output=True, text=True)
    return float(out.stdout)


def table_row(what, path, method, grid, peers):
    results = {name: [] for name in [*peers, "voxelstream"]}
    for _ in range(args.rounds):
        for name, run in peers.items():
            results[name].append(theirs(run))
        results["voxelstream"].append(ours(path, method, grid))
    mine = statistics.median(results.pop("voxelstream"))
    for name, times in results.items():
        peer = statistics.median(times)
        print(f"| {what} | {name} | {peer:,.0f} | {mine:,.0f} | {peer / mine:.1f}x |", flush=True)


work = pathlib.Path(tempfile.mkdtemp(prefix="bench-voxelize-"))
path = work / "numbers.f64"
print("| job | peer | peer, us | voxelstream, us | ratio |\n|---|---|---|---|---|")
for n, grid in ((25_000, 16), (120_000, 64)):
    points = np.random.default_rng(1).normal(size=(n, 3))
    points.T.astype("<f8").tofile(path)
    peers = {"numpy, histogramdd": histogramdd, "numpy, bincount": bincount, "Open3D": with_open3d, "pyntcloud": with_pyntcloud}
    for method in ("regular", "mnist3d"):
        table_row(f"{n:,} points to {grid}^3, {method}", path, method, grid, {name: make(points, grid) for name, make in peers.items()})
for n in (64, 128):
    values = np.random.default_rng(1).random((n, n, n)).ravel()
    values.astype("<f8").tofile(path)
    table_row(f"colours of {n}^3 values", path, "colours", n, {"matplotlib": with_matplotlib(values), "numpy, a table": by_hand(values)})
path.unlink()
work.rmdir()
