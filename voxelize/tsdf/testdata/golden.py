"""Fuses sample frames with plain numpy, one array expression a frame, and writes golden.json beside this file.

    python3 golden.py PATH_OF_SAMPLES

The method is that of Curless and Levoy with weight 1 a frame, as in https://github.com/andyzeng/tsdf-fusion-python, at the centres of the cells.
"""
import json
import os
import struct
import sys
import zlib

import numpy as np


def png16(path):
    """A 16-bit grey PNG without interlace."""
    data = open(path, "rb").read()
    at, idat = 8, b""
    while at < len(data):
        n, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + n]
        if kind == b"IHDR":
            w, h = struct.unpack(">II", body[:8])
        if kind == b"IDAT":
            idat += body
        at += 12 + n
    raw = np.frombuffer(zlib.decompress(idat), np.uint8).reshape(h, 1 + 2 * w)
    out = np.zeros((h, 2 * w), np.uint8)
    for y in range(h):
        line, kind = raw[y, 1:].astype(int), raw[y, 0]
        up = out[y - 1].astype(int) if y else np.zeros(2 * w, int)
        for i in range(2 * w):
            a = int(out[y, i - 2]) if i > 1 else 0
            b, c = up[i], int(up[i - 2]) if i > 1 else 0
            if kind == 4:
                p = a + b - c
                pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
                pred = a if pa <= pb and pa <= pc else b if pb <= pc else c
            else:
                pred = [0, a, b, (a + b) // 2][kind]
            out[y, i] = (line[i] + pred) & 255
    return out.reshape(h, w, 2)[..., 0].astype(np.uint16) << 8 | out.reshape(h, w, 2)[..., 1]


def fuse(frames, cam, origin, edge, dims):
    trunc = 5 * edge
    dist, weight = np.zeros(dims, np.float32), np.zeros(dims, np.float32)
    z, y, x = np.meshgrid(*(np.arange(n) + 0.5 for n in dims), indexing="ij")
    world = np.stack([x, y, z], -1) * edge + origin
    for depth, pose in frames:
        metres = (depth / 1000).astype(np.float32).astype(np.float64)
        c = (world - pose[:3, 3]) @ pose[:3, :3]
        with np.errstate(all="ignore"):
            u = np.floor(cam[0] * c[..., 0] / c[..., 2] + cam[2] + 0.5)
            v = np.floor(cam[1] * c[..., 1] / c[..., 2] + cam[3] + 0.5)
        ok = (c[..., 2] > 0) & (u >= 0) & (v >= 0) & (u < 640) & (v < 480)
        d = np.where(ok, metres[np.where(ok, v, 0).astype(int), np.where(ok, u, 0).astype(int)], 0)
        sdf = d - c[..., 2]
        ok &= (d > 0) & (sdf >= -trunc)
        new = np.minimum(1, sdf / trunc).astype(np.float32)
        dist = np.where(ok, (dist * weight + new) / (weight + 1), dist)
        weight = np.where(ok, weight + 1, weight)
    return dist, weight


def facts(name, frames, cam, origin, edge, dims):
    dist, weight = fuse(frames, cam, np.array(origin), edge, dims)
    seen = np.where(weight > 0, dist, 0).astype(np.float64).ravel()
    return {
        "name": name, "origin": origin, "edge": edge, "dims": dims, "observed": int((weight > 0).sum()), "weight": float(weight.sum()),
        "sum": float(seen.sum()), "weighted": float((seen * (np.arange(seen.size) % 1009)).sum()), "negative": int((seen < 0).sum()),
        "cells": [float(v) for v in seen[::997]],
    }


def matrix(words):
    return np.array([float(w) for w in words]).reshape(4, 4)


root = os.path.join(sys.argv[1], "rgbd")
pose = matrix(open(root + "/tsdf_fusion/frame-000150.pose.txt").read().split())
log = open(root + "/redwood/odometry.log").read().split()
out = [
    facts("tsdf_fusion", [(png16(root + "/tsdf_fusion/frame-000150.depth.png"), pose)], [585, 585, 320, 240], [-2.0, -1.5, 0.75], 0.0625, [48, 40, 56]),
    facts("redwood", [(png16(root + "/redwood/depth_%05d.png" % i), matrix(log[19 * i + 3:19 * i + 19])) for i in range(3)],
          [525, 525, 319.5, 239.5], [0.5, 0.75, 0.25], 0.0625, [40, 36, 48]),
]
json.dump(out, open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden.json"), "w"), separators=(",", ":"))
