"""Depth frame to points in metres: numpy and Open3D, one core, processor time; ours is `go test ./ingest/depth -run XX -bench 'Points$' -cpu 1`.

usage: depth.py FRAME.png [SECONDS]
"""
import os
import sys
import time

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
import numpy as np  # noqa: E402
import open3d  # noqa: E402

image = open3d.io.read_image(sys.argv[1])
seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 1
depth = np.asarray(image)
height, width = depth.shape
fx = fy = 525.0
cx, cy = (width - 1) / 2, (height - 1) / 2
camera = open3d.camera.PinholeCameraIntrinsic(width, height, fx, fy, cx, cy)
u, v = np.meshgrid(((np.arange(width) - cx) / fx).astype("f4"), ((np.arange(height) - cy) / fy).astype("f4"))


x, y, z = (np.empty(depth.shape, "f4") for _ in range(3))


def numpy_all():  # into arrays that are there
    np.multiply(depth, np.float32(0.001), out=z, dtype="f4")
    np.multiply(u, z, out=x)
    np.multiply(v, z, out=y)


def numpy_valid():
    z = depth * np.float32(0.001)
    seen = z > 0
    return (u * z)[seen], (v * z)[seen], z[seen]


def with_open3d():
    return open3d.geometry.PointCloud.create_from_depth_image(image, camera, depth_scale=1000.0)


for name, f in (("numpy, float32, all pixels, holes too", numpy_all), ("numpy, float32, valid pixels only", numpy_valid), ("Open3D, float64, valid pixels only", with_open3d)):
    f()
    begin, frames = time.process_time(), 0
    while time.process_time() - begin < seconds:
        f()
        frames += 1
    print(f"{name}: {frames / (time.process_time() - begin):,.0f} frames/s")
