"""Decoding a recording of Velodyne packets beside velodyne-decoder: alternating rounds, one core, processor time. Prints a Markdown row of millions of
points a second.

usage: run.py READERS RECORDING.pcap [--rounds 5] [--seconds 1]        READERS is bench/readers, built
"""
import argparse
import statistics
import subprocess
import time

import velodyne_decoder as vd

parser = argparse.ArgumentParser()
parser.add_argument("readers")
parser.add_argument("recording")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--seconds", type=float, default=1)
args = parser.parse_args()


def peer():
    points, begin = 0, time.process_time()
    while time.process_time() - begin < args.seconds:
        points += sum(len(cloud) for _, cloud in vd.read_pcap(args.recording))
    return points / (time.process_time() - begin)


def ours():
    return float(subprocess.run([args.readers, args.recording, str(args.seconds)], check=True, capture_output=True, text=True).stdout)


def cell(rates):
    return f"{statistics.median(rates) / 1e6:.1f} [{min(rates) / 1e6:.1f}–{max(rates) / 1e6:.1f}]"


theirs, our = [], []
for _ in range(args.rounds):
    theirs.append(peer())
    our.append(ours())
print(f"| VLP-16, pcap | velodyne-decoder | {cell(theirs)} | {cell(our)} | {statistics.median(our) / statistics.median(theirs):.1f}x |")
