"""Makes plain.mcap, lz4.mcap and zstd.mcap: three clouds of sensor_msgs/msg/PointCloud2, of 5 points each but the last, which is organized and big endian.
Point i of cloud k is at (i, k, -i/2) with intensity 10 i, but the first of the last, which is not a number.

usage: python make_mcap.py (needs mcap 1.6)
"""
import struct

from mcap.writer import CompressionType, Writer

FLOAT32, UINT8 = 7, 2


def cloud(k, height, width, big):
    out = bytearray(b"\0\1\0\0")

    def put(form, *values):
        size = struct.calcsize("<" + form[-1])
        out.extend(bytes(-(len(out) - 4) % size))
        out.extend(struct.pack("<" + form, *values))

    def text(s):
        put("I", len(s) + 1)
        out.extend(s.encode() + b"\0")

    put("i", 100 + k)
    put("I", 500000000)
    text("lidar")
    put("I", height)
    put("I", width)
    fields = [("x", 0, FLOAT32), ("y", 4, FLOAT32), ("z", 8, FLOAT32), ("ring", 12, UINT8), ("intensity", 16, FLOAT32)]
    put("I", len(fields))
    for name, offset, kind in fields:
        text(name)
        put("I", offset)
        put("B", kind)
        put("I", 1)
    put("B", big)
    put("I", 24)
    put("I", 24 * width)
    order = ">" if big else "<"
    points = [(float("nan") if big and i == 0 else i, k, -i / 2, i % 3, 10 * i) for i in range(height * width)]
    data = b"".join(struct.pack(order + "fffB3xf4x", *p) for p in points)
    put("I", len(data))
    out.extend(data)
    put("B", 0)
    return bytes(out)


for name, compression in (("plain", CompressionType.NONE), ("lz4", CompressionType.LZ4), ("zstd", CompressionType.ZSTD)):
    with open(name + ".mcap", "wb") as f:
        writer = Writer(f, chunk_size=256, compression=compression)
        writer.start(profile="ros2", library="test")
        schemas = [writer.register_schema(n, "ros2msg", b"") for n in ("std_msgs/msg/String", "sensor_msgs/msg/PointCloud2")]
        channels = [writer.register_channel(t, "cdr", s) for t, s in zip(("/text", "/points"), schemas)]
        for k in range(3):
            writer.add_message(channels[0], k, b"\0\1\0\0\2\0\0\0a\0", k)
            writer.add_message(channels[1], k, cloud(k, 2 if k == 2 else 1, 2 if k == 2 else 5, k == 2), k)
        writer.finish()
