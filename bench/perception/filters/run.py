"""Filters beside Open3D and PCL: alternating rounds, one core, processor time. Prints a Markdown table of milliseconds a scan, and compares the results.

usage: run.py FILTERS PCL SAMPLES [--rounds 5] [--seconds 1]      FILTERS and PCL are bench/perception/filters and pcl/pcl.cpp, built
"""
import argparse
import gzip
import os
import statistics
import subprocess
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = "1"
os.sched_setaffinity(0, {0})

import numpy as np  # noqa: E402
import open3d as o3d  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("filters")
parser.add_argument("pcl")
parser.add_argument("samples")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--seconds", type=float, default=1)
args = parser.parse_args()

# File and values of a point.
SCANS = {
    "KITTI, 64 beams": ("lidar/kitti/kitti_odometry_00_000000.bin.gz", 4),
    "nuScenes, 32 beams, a part of a scan": ("lidar/nuscenes/n008-2018-09-18_LIDAR_TOP_1537287083900561.pcd.bin", 5),
}
STEPS = ["downsample", "outliers-statistical", "outliers-radius", "normals"]


def points(path, width):
    path = os.path.join(args.samples, path)
    with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as file:
        return np.ascontiguousarray(np.frombuffer(file.read(), np.float32).reshape(-1, width)[:, :4])


def open3d(step, p):
    """The processor time, the points that remain, or the normals."""
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(p[:, :3].astype(np.float64)))
    if step == "downsample":  # with the intensity as a colour, because PCL and we average it too
        cloud.colors = o3d.utility.Vector3dVector(np.repeat(p[:, 3:], 3, 1).astype(np.float64))
    run = {
        "downsample": lambda: cloud.voxel_down_sample(0.2),
        "outliers-statistical": lambda: cloud.remove_statistical_outlier(21, 2.0)[0],  # it counts the point itself
        "outliers-radius": lambda: cloud.remove_radius_outlier(5, 0.5)[0],
        "normals": lambda: cloud.estimate_normals(o3d.geometry.KDTreeSearchParamKNN(20)),
    }[step]
    times = []
    while sum(times) < 1e3 * args.seconds:
        cloud.normals = o3d.utility.Vector3dVector()
        begin = time.process_time()
        out = run()
        times.append(1e3 * (time.process_time() - begin))
    return statistics.median(times), np.asarray(cloud.normals if step == "normals" else out.points, np.float32)


def program(command, step, p):
    with tempfile.TemporaryDirectory() as folder:
        file, result = os.path.join(folder, "points"), os.path.join(folder, "result")
        p.tofile(file)
        out = subprocess.run([command, step, file, str(args.seconds), result], check=True, capture_output=True, text=True)
        values = np.fromfile(result, np.float32).reshape(-1, 3 if step == "normals" else 4)
        return float(out.stdout), values[:, :3]


def agreement(step, a, b):
    """How the results of two programs agree, in words."""
    if step == "normals":
        same = np.abs((a * b).sum(1)) > 0.999
        return f"{100 * same.mean():.2f}% of the normals within 2.6 degrees"
    if step == "downsample":
        return f"{len(a)} and {len(b)} points"
    a, b = ({p.tobytes() for p in x} for x in (a, b))
    return f"{len(a)} and {len(b)} points, {len(a ^ b)} of them different"


print("| scan | points | step | Voxelstream | PCL | Open3D | times as fast as the faster one |\n|---|---|---|---|---|---|---|")
notes = []
for scan, (path, width) in SCANS.items():
    p = points(path, width)
    for step in STEPS:
        times = {"ours": [], "pcl": [], "open3d": []}
        for _ in range(args.rounds):
            ms, ours = program(args.filters, step, p)
            times["ours"].append(ms)
            ms, pcl = program(args.pcl, step, p)
            times["pcl"].append(ms)
            ms, theirs = open3d(step, p)
            times["open3d"].append(ms)
        ours_ms, pcl_ms, open3d_ms = (statistics.median(t) for t in times.values())
        print(f"| {scan} | {len(p)} | `{step}` | {ours_ms:.2f} ms | {pcl_ms:.2f} ms | {open3d_ms:.2f} ms | {min(pcl_ms, open3d_ms) / ours_ms:.1f} |", flush=True)
        notes.append(f"{scan}, {step}: PCL {agreement(step, ours, pcl)}; Open3D {agreement(step, ours, theirs)}")
print("\n" + "\n".join(notes))
