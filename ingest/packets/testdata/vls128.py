"""Makes vls128.bin, packets of a VLS-128 laid out as its manual (63-9483) has them with random returns, and vls128.f32, the points that velodyne-decoder finds in
them: x, y, z and intensity as little-endian float32, laser by laser as they fired. The first 8 packets have one return, the last 8 two.

usage: python vls128.py (needs numpy and velodyne-decoder 3.1)
"""
import struct

import numpy as np
import velodyne_decoder as vd

random = np.random.default_rng(5)
FLAGS = (0xEEFF, 0xDDFF, 0xCCFF, 0xBBFF)


def packet(azimuths, copies, micros):
    blocks = []
    for azimuth in azimuths:
        for flag in FLAGS:
            returns = random.integers(0, 20000, 32)
            returns[random.random(32) < .2] = 0
            intensity = random.integers(0, 256, 32)
            for copy in range(copies):
                if copy:
                    other = random.random(32) < .5
                    returns = np.where(other, random.integers(1, 20000, 32), returns)
                    intensity = np.where(other, random.integers(0, 256, 32), intensity)
                blocks.append(struct.pack("<HH", flag, azimuth) + b"".join(struct.pack("<HB", r, int(i)) for r, i in zip(returns, intensity)))
    blocks += [bytes(100)] * (12 - len(blocks))
    return b"".join(blocks) + struct.pack("<IBB", micros, 0x39 if copies == 2 else 0x37, 0xA1)


azimuth, micros, packets = 100, 1000, []
for copies, sequences in ((1, 3), (2, 1)):
    for _ in range(8):
        packets.append(packet([azimuth + 21 * i for i in range(sequences)], copies, micros))
        azimuth, micros = azimuth + 21 * sequences, micros + round(53.3 * sequences)
open("vls128.bin", "wb").write(b"".join(packets))

config = vd.Config()
config.model = vd.Model.AlphaPrime
config.min_range, config.max_range = 0, 1000


def decode(part):
    scan = vd.PacketVector()
    for i, p in enumerate(part):
        scan.append(vd.VelodynePacket(i * 1e-3, list(p)))
    return np.asarray(vd.ScanDecoder(config).decode(scan)[1])[:, :4]


# With several firings in a packet we know from the first packet on how fast the sensor turns, velodyne-decoder from the second: one more goes before.
before = bytearray(packets[0])
for k in range(12):
    struct.pack_into("<H", before, 100 * k + 2, struct.unpack_from("<H", before, 100 * k + 2)[0] - 63)
single = decode([bytes(before)] + packets[:8])[len(decode([bytes(before)])):]
points = [single, decode(packets[8:])]
print(*(len(p) for p in points))
np.concatenate(points).astype("<f4").tofile("vls128.f32")
