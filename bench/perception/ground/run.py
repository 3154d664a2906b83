"""Ground of simulated streets and of a KITTI scan beside Patchwork++: one core, processor time, alternating. Prints Markdown tables of IoU, precision, recall and
milliseconds a scan. Ground are roads, pavements with their kerbs and verges; vegetation is not. Patchwork++ is told the height of the sensor, and from which distance
to look for ground if the sensor is low. It adapts its thresholds from scan to scan: the better of its first and its fifth result for a scan counts.

usage: run.py GROUND SAMPLES [--seed 1000] [--count 5] [--seconds 0.05]      GROUND is bench/perception/ground, built
"""
import argparse
import collections
import gzip
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = "1"
os.sched_setaffinity(0, {0})

import numpy as np  # noqa: E402
import pypatchworkpp  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("ground")
parser.add_argument("samples", type=pathlib.Path)
parser.add_argument("--seed", type=int, default=1000)
parser.add_argument("--count", type=int, default=5)
parser.add_argument("--seconds", type=float, default=0.05)
args = parser.parse_args()

STEPS = ["ground-zones", "ground-plane"]


def quality(found, truth):
    both = (found & truth).sum()
    return both / max((found | truth).sum(), 1), both / max(found.sum(), 1), both / max(truth.sum(), 1)


def patchworkpp(points, height):
    """The first and the fifth result, and the least time of a scan in milliseconds."""
    parameters = pypatchworkpp.Parameters()
    parameters.sensor_height = height
    parameters.min_range = min(parameters.min_range, height)
    peer = pypatchworkpp.patchworkpp(parameters)
    results, times = [], []
    for _ in range(5):
        begin = time.process_time()
        peer.estimateGround(points)
        times.append(1e3 * (time.process_time() - begin))
        found = np.zeros(len(points), bool)
        found[peer.getGroundIndices().ravel()] = True
        results.append(found)
    return results[0], results[4], min(times)


def ours(file, step):
    out = subprocess.run([args.ground, "find", file, step, file + ".marks", str(args.seconds)], check=True, capture_output=True, text=True)
    return np.fromfile(file + ".marks", bool), float(out.stdout)


def table(title, rows):
    print(f"\n| {title} | points | " + " | ".join(f"{m}: IoU | precision | recall | ms" for m in ["Patchwork++"] + STEPS) + " | speed |")
    print("|---" * (3 + 4 * (1 + len(STEPS))) + "|")
    for name, scans in rows.items():
        cells, times = [], []
        for method in range(1 + len(STEPS)):
            q = np.mean([s[1][method][0] for s in scans], 0)
            times.append(statistics.median(s[1][method][1] for s in scans))
            cells += [f"{v:.3f}" for v in q] + [f"{times[-1]:.2f}"]
        print(f"| {name} | {np.mean([s[0] for s in scans]):.0f} | " + " | ".join(cells) + f" | {times[0] / times[1]:.1f}x |")


with tempfile.TemporaryDirectory() as folder:
    out = subprocess.run([args.ground, "scans", folder, str(args.seed), str(args.count)], check=True, capture_output=True, text=True).stdout
    by_sensor, by_street, every = (collections.defaultdict(list) for _ in range(3))
    for line in out.splitlines():
        file, sensor, kind, height = line.split()
        points, truth = np.fromfile(file, np.float32).reshape(-1, 4), np.fromfile(file + ".truth", bool)
        first, fifth, peer_time = patchworkpp(points, float(height))
        results = [(max(quality(first, truth), quality(fifth, truth)), peer_time)]
        for step in STEPS:
            found, t = ours(file, step)
            results.append((quality(found, truth), t))
        for rows, name in ((by_sensor, sensor), (by_street, kind), (every, "all")):
            rows[name].append((len(points), results))
    table("sensor", by_sensor)
    table("street", by_street)
    table("all", every)

    # A real scan has no truth: the share of points that both, only Patchwork++ and only this step call ground.
    with gzip.open(args.samples / "lidar/kitti/kitti_odometry_00_000000.bin.gz") as f:
        points = np.frombuffer(f.read(), np.float32).reshape(-1, 4)
    file = os.path.join(folder, "kitti")
    points.tofile(file)
    found, t = ours(file, STEPS[0])
    first, _, peer_time = patchworkpp(points, 1.73)
    print(f"\nKITTI odometry 00, scan 0, {len(points)} points: both {100 * (found & first).mean():.1f}%, only Patchwork++ {100 * (first & ~found).mean():.1f}%, "
          f"only {STEPS[0]} {100 * (found & ~first).mean():.1f}%; Patchwork++ {peer_time:.2f} ms, {STEPS[0]} {t:.2f} ms")
