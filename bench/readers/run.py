"""Reading files of a million points, or the largest real one of each kind in a folder, beside the libraries that a user of Python would take: alternating rounds,
one core, processor time, so that other programs on the machine count little. Prints a Markdown table of millions of points a second.

usage: run.py READERS [--rounds 5] [--seconds 1] [--files a.laz,binary.ply] [--samples FOLDER]        READERS is bench/readers, built
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

os.environ.update(OMP_NUM_THREADS="1", RAYON_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
import laspy  # noqa: E402
import numpy as np  # noqa: E402
import plyfile  # noqa: E402

try:
    import open3d
except ImportError:
    open3d = None

parser = argparse.ArgumentParser()
parser.add_argument("readers")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--seconds", type=float, default=1)
parser.add_argument("--files", help="only these")
parser.add_argument("--samples", type=pathlib.Path, help="take the largest files of this folder, and make none")
args = parser.parse_args()

N = 1_000_000
work = pathlib.Path(tempfile.mkdtemp(prefix="bench-readers-"))
rng = np.random.default_rng(1)
t = np.arange(N)
# A scan: smooth along the lines, with noise.
xyz = np.stack([50 * np.sin(t / 900) + t / 2e4, 50 * np.cos(t / 900), rng.normal(0, 0.05, N) + np.sin(t / 5e4)], 1).astype("f4")
rgb = (127 + 120 * np.sin(t[:, None] / [300, 500, 700])).astype("u1")
intensity = rng.integers(0, 4000, N).astype("u2")


def write_las():
    header = laspy.LasHeader(point_format=7, version="1.4")
    header.scales = [0.001] * 3
    las = laspy.LasData(header)
    las.x, las.y, las.z, las.intensity = *xyz.T.astype("f8"), intensity
    las.gps_time, las.return_number[:], las.number_of_returns[:] = t * 1e-5, 1, 1
    las.red, las.green, las.blue = (rgb.T.astype("u2") * 257)
    las.write(work / "a.las")
    las.write(work / "a.laz")
    old = laspy.convert(las, point_format_id=3)
    old.write(work / "format3.laz")


def write_ply():
    vertex = np.zeros(N, [(n, "f4") for n in "xyz"] + [(n, "u1") for n in ("red", "green", "blue")])
    for i, n in enumerate("xyz"):
        vertex[n] = xyz[:, i]
    for i, n in enumerate(("red", "green", "blue")):
        vertex[n] = rgb[:, i]
    element = plyfile.PlyElement.describe(vertex, "vertex")
    plyfile.PlyData([element]).write(work / "binary.ply")
    plyfile.PlyData([element], text=True).write(work / "ascii.ply")


def write_rest():
    np.concatenate([xyz, intensity[:, None] / 4000], 1).astype("f4").tofile(work / "kitti.bin")
    if open3d:
        cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(xyz.astype("f8")))
        cloud.colors = open3d.utility.Vector3dVector(rgb / 255)
        open3d.io.write_point_cloud(str(work / "binary.pcd"), cloud)
        open3d.io.write_point_cloud(str(work / "compressed.pcd"), cloud, compressed=True)


# Each reader gives the number of points, which are then columns in memory.
def with_open3d(path):
    cloud = open3d.io.read_point_cloud(str(path))
    columns = np.asarray(cloud.points), np.asarray(cloud.colors)
    return len(columns[0])


def with_plyfile(path):
    v = plyfile.PlyData.read(path)["vertex"]
    columns = [np.array(v[n]) for n in ("x", "y", "z", "red", "green", "blue") if n in v.data.dtype.names]  # copies: else a binary file is only mapped
    return len(columns[0])


def with_laspy(path):
    las = laspy.read(path)
    columns = [np.asarray(c) for c in (las.x, las.y, las.z)] + [las.intensity.astype("f4")]
    if "red" in las.point_format.dimension_names:
        columns += [(c >> 8).astype("u1") for c in (las.red, las.green, las.blue)]
    return len(columns[0])


def with_numpy(path):
    v = np.fromfile(path, "f4").reshape(-1, 4)
    columns = v[:, :3].T.astype("f8"), v[:, 3].copy()
    return columns[0].shape[1]


def python_rate(read, path):
    begin, points = time.process_time(), 0
    while time.process_time() - begin < args.seconds:
        points += read(path)
    return points / (time.process_time() - begin)


def our_rate(path):
    return float(subprocess.run([args.readers, path, str(args.seconds)], check=True, capture_output=True, text=True).stdout)


def made():
    write_las()
    write_ply()
    write_rest()
    cases = [("a.las", "laspy", with_laspy), ("a.laz", "laspy, lazrs", with_laspy), ("format3.laz", "laspy, lazrs", with_laspy),
             ("ascii.ply", "plyfile", with_plyfile), ("binary.ply", "plyfile", with_plyfile), ("kitti.bin", "numpy", with_numpy)]
    if open3d:
        cases += [(name, "Open3D", with_open3d) for name in ("binary.pcd", "compressed.pcd", "binary.ply", "ascii.ply")]
    return [(work / name, peer, read) for name, peer, read in cases]


def largest(folder):
    """The largest file of each kind, which its header tells."""
    def of(pattern, *words):
        files = [p for p in folder.rglob(pattern) if all(w in p.read_bytes()[:400] for w in words)]
        return max(files, key=lambda p: p.stat().st_size)
    cases = [(of("*.las"), "laspy", with_laspy), (of("*.laz"), "laspy, lazrs", with_laspy), (of("*.ply", b"format ascii"), "plyfile", with_plyfile),
             (of("*.ply", b"format binary"), "plyfile", with_plyfile), (of("kitti/*.bin"), "numpy", with_numpy)]
    if open3d:
        cases += [(of("*.pcd", b"DATA binary\n"), "Open3D", with_open3d), (of("*.pcd", b"DATA binary_compressed"), "Open3D", with_open3d),
                  (of("*.ply", b"format binary"), "Open3D", with_open3d), (of("*.ply", b"format ascii"), "Open3D", with_open3d)]
    return cases


print("| file | points | peer | peer, Mpoints/s | voxelstream, Mpoints/s | ratio |\n|---|---|---|---|---|---|")
for path, peer, read in largest(args.samples) if args.samples else made():
    if args.files and path.name not in args.files.split(","):
        continue
    theirs, ours = [], []
    for _ in range(args.rounds):
        theirs.append(python_rate(read, path))
        ours.append(our_rate(path))
    cell = lambda v: f"{statistics.median(v) / 1e6:.2f} [{min(v) / 1e6:.2f}–{max(v) / 1e6:.2f}]"
    print(f"| {path.name} | {read(path):,} | {peer} | {cell(theirs)} | {cell(ours)} | {statistics.median(ours) / statistics.median(theirs):.1f}x |", flush=True)
for path in work.iterdir():
    path.unlink()
work.rmdir()
