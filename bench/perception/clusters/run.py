"""Euclidean clusters beside Open3D's DBSCAN and PCL: alternating rounds, one core, processor time. Prints a Markdown table of milliseconds a scan.
The ground is cut off at a height, because the peers' time depends on it. The clusters of all three must be the same sets of points.

usage: run.py CLUSTERS PCL SAMPLES [--rounds 5] [--seconds 1]      CLUSTERS and PCL are bench/perception/clusters and pcl/pcl.cpp, built
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
parser.add_argument("clusters")
parser.add_argument("pcl")
parser.add_argument("samples")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--seconds", type=float, default=1)
args = parser.parse_args()

# Scan and height of the ground's end below the sensor. The samples of nuScenes are excerpts of 100 and 400 points.
SCANS = {
    "KITTI, HDL-64, 64 beams": ("lidar/kitti/kitti_odometry_00_000000.bin.gz", -1.4),
    "VLP-32, 32 beams": ("lidar/velodyne/nebula_vlp32_truth.pcd", -0.3),
}


def points(path, floor):
    path = os.path.join(args.samples, path)
    if path.endswith(".pcd"):
        p = np.asarray(o3d.io.read_point_cloud(path).points, np.float32)
    else:
        with gzip.open(path) as file:
            p = np.frombuffer(file.read(), np.float32).reshape(-1, 4)[:, :3]
    return np.ascontiguousarray(p[p[:, 2] > floor])


def open3d(p, radius):
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(p.astype(np.float64)))
    times = []
    while sum(times) < 1e3 * args.seconds:
        begin = time.process_time()
        label = cloud.cluster_dbscan(radius, 1)
        times.append(1e3 * (time.process_time() - begin))
    return statistics.median(times), np.asarray(label)


def program(command, p, radius):
    with tempfile.TemporaryDirectory() as folder:
        file, labels = os.path.join(folder, "points"), os.path.join(folder, "labels")
        p.tofile(file)
        out = subprocess.run([command, file, str(radius), labels, str(args.seconds)], check=True, capture_output=True, text=True)
        return float(out.stdout), np.fromfile(labels, np.int32)


def groups(a, b):
    """Number of groups in each labelling and in their overlay, which are equal if the groups are the same."""
    return len(set(a)), len(set(b)), len(set(zip(a, b)))


def cell(times):
    return f"{statistics.median(times):.1f} [{min(times):.1f}–{max(times):.1f}]"


print("| scan | radius (m) | points | clusters | Open3D (ms) | PCL (ms) | Voxelstream (ms) | of Open3D | of PCL |")
print("|---|---|---|---|---|---|---|---|---|")
for name, scan in SCANS.items():
    p = points(*scan)
    for radius in (0.3, 0.5, 0.8):
        ours, theirs, pcl = [], [], []
        for _ in range(args.rounds):
            t, label = program(args.clusters, p, radius)
            ours.append(t)
            t, peer = program(args.pcl, p, radius)
            pcl.append(t)
            count = groups(label, peer)
            assert len(set(count)) == 1, f"{name}: {radius} m: found {count} groups of ours, PCL's and both"
            t, peer = open3d(p, radius)
            theirs.append(t)
            count = groups(label, peer)
            assert len(set(count)) == 1, f"{name}: {radius} m: found {count} groups of ours, Open3D's and both"
        our = statistics.median(ours)
        print(f"| {name} | {radius} | {len(p)} | {count[0]} | {cell(theirs)} | {cell(pcl)} | {cell(ours)} | "
              f"{statistics.median(theirs) / our:.1f}x | {statistics.median(pcl) / our:.1f}x |", flush=True)
