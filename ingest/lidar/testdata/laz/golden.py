"""Makes the .laz files beside it and SHA256 of what they hold, with laspy and two encoders: lazrs and, by encode.cpp, LASzip.

    pip install laspy[lazrs]
    LASZIP=<path of encode, built as encode.cpp says> python golden.py <samples>/lidar

The digest is of x, y and z (float64, column by column), intensity (uint16), and 8-bit colours (point by point), all little endian.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import laspy
import numpy as np

POINTS = 40
HERE = Path(__file__).parent


def points(fmt, rng):
    """Points whose every field changes now and then, in small steps and in large ones."""
    header = laspy.LasHeader(point_format=fmt, version="1.4")
    header.scales, header.offsets = [0.01, 0.01, 0.001], [100, 200, 0]
    header.add_extra_dim(laspy.ExtraBytesParams("a", "uint16"))
    las = laspy.LasData(header)
    n, t = POINTS, np.arange(POINTS)
    las.points = laspy.ScaleAwarePointRecord.zeros(n, header=header)
    las.X = (1000 * np.sin(t / 5) + t * 3).astype("i4")
    las.Y = (700 * np.cos(t / 3) + rng.integers(-40, 40, n)).astype("i4")
    las.Z = rng.integers(-3, 3, n) + 50000 * (rng.random(n) < 0.1)
    las.X[n // 2], las.X[n // 2 + 1] = 2**31 - 5, -(2**31) + 7
    las.intensity = rng.integers(0, 65536, n) * (rng.random(n) < 0.3)
    most = 7 if fmt < 6 else 15
    las.number_of_returns = np.minimum(rng.integers(1, 6, n) + (rng.random(n) < 0.1) * 10, most)
    las.return_number = rng.integers(0, 8, n)
    las.classification = rng.integers(0, 20, n) * (rng.random(n) < 0.2)
    las.user_data = rng.integers(0, 256, n) * (rng.random(n) < 0.1)
    las.point_source_id = 1 + t // 10
    las.scan_direction_flag, las.edge_of_flight_line = (t // 7) % 2, t % 7 == 0
    if fmt < 6:
        las.scan_angle_rank = rng.integers(-90, 90, n)
    else:
        las.scan_angle = rng.integers(-15000, 15000, n)
        las.scanner_channel = rng.integers(0, 4, n) * (rng.random(n) < 0.3)
    names = set(header.point_format.dimension_names)
    if "gps_time" in names:
        steps = rng.choice([0, 1e-5, 2e-5, 1.1e-4, 5e-3, 7.0], n, p=[0.3, 0.3, 0.2, 0.1, 0.05, 0.05])
        las.gps_time = np.cumsum(steps) + 1e5 + 3e8 * (t % 17 == 0)
    if "red" in names:
        red, grey = rng.integers(0, 65536, n), rng.random(n) < 0.3
        las.red, las.green = red, np.where(grey, red, red // 2)
        las.blue = np.where(grey, red, rng.integers(0, 65536, n) // 4)
    if "nir" in names:
        las.nir = rng.integers(0, 65536, n)
    if "wavepacket_offset" in names:
        las.wavepacket_index = rng.integers(0, 3, n)
        las.wavepacket_offset = np.cumsum(rng.choice([0, 256, 300, 10**10], n)).astype("u8")
        las.wavepacket_size = rng.choice([256, 300], n)
        las.x_t = rng.random(n).astype("f4")
    las.a = t // 3
    return las


def digest(path):
    las = laspy.read(path)
    h = hashlib.sha256()
    for c in (las.x, las.y, las.z):
        h.update(np.ascontiguousarray(c, dtype="<f8").tobytes())
    h.update(np.ascontiguousarray(las.intensity, dtype="<u2").tobytes())
    if "red" in las.point_format.dimension_names:
        rgb = np.stack([las.red, las.green, las.blue], 1)
        h.update((rgb >> (8 if (rgb > 255).any() else 0)).astype("u1").tobytes())
    return h.hexdigest()


def main():
    rng = np.random.default_rng(3)
    lines = []
    with tempfile.TemporaryDirectory() as tmp:
        plain = Path(tmp) / "a.las"
        for fmt in range(11):
            las = points(fmt, rng)
            las.write(plain)
            las.write(HERE / f"lazrs_{fmt}.laz", laz_backend=laspy.LazBackend.Lazrs)
            lines.append(f"{digest(plain)}  testdata/laz/lazrs_{fmt}.laz")
            # Version and compressor (1: one stream, 2: chunks, 3: layers) of LASzip; chunks of 16 points.
            for version, compressor in [(1, 1), (1, 2), (2, 2)] if fmt < 6 else [(4, 3)] if fmt == 7 else []:
                name = f"laszip_{fmt}_v{version}_{compressor}.laz"
                subprocess.run([os.environ["LASZIP"], plain, HERE / name, str(version), str(compressor), "16"], check=True)
                lines.append(f"{digest(plain)}  testdata/laz/{name}")
    samples = Path(sys.argv[1])
    for path in sorted(samples.glob("la[sz]/*.la[sz]")):
        lines.append(f"{digest(path)}  lidar/{path.relative_to(samples)}")
    (HERE / "SHA256").write_text("\n".join(lines) + "\n")


main()
