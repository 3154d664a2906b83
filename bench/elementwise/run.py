"""Layers that do little with each element beside PyTorch, in alternating rounds in one session: nanoseconds an element, two threads each, the least of the
rounds, since whatever else the machine does only adds to them. The shapes are those of
BenchmarkElementwise in nn: 16 samples of 16^3 positions and 32 channels. A step is forward and backward behind a batch normalization.

usage: python run.py [--rounds N] [--seconds S] [--page docs/performance.md] [LAYER...]    (from the root of the repository, with PyTorch)
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import torch
from torch import nn

SAMPLES, CHANNELS, SIDE = 16, 32, 16
ELEMENTS = SAMPLES * CHANNELS * SIDE**3


class Exponential(nn.Module):
    def forward(self, x):
        return torch.exp(x)


class GlobalMaximum(nn.Module):
    def forward(self, x):
        return torch.amax(x, (2, 3, 4))


class ChannelsLast(nn.Module):
    """A layer on the last axis, where the channels are in memory."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.permute(0, 2, 3, 4, 1))


LAYERS = {
    "elu": nn.ELU, "selu": nn.SELU, "celu": nn.CELU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "softplus": nn.Softplus, "silu": nn.SiLU, "gelu": nn.GELU,
    "exponential": Exponential, "mish": nn.Mish, "log_sigmoid": nn.LogSigmoid, "softsign": nn.Softsign, "hard_sigmoid": nn.Hardsigmoid, "relu6": nn.ReLU6,
    "softmax": lambda: ChannelsLast(nn.Softmax(-1)), "log_softmax": lambda: ChannelsLast(nn.LogSoftmax(-1)),
    "layer normalization": lambda: ChannelsLast(nn.LayerNorm(CHANNELS)), "group normalization": lambda: nn.GroupNorm(8, CHANNELS),
    "max pooling, padded": lambda: nn.MaxPool3d(3, 2, 1), "average pooling, padded": lambda: nn.AvgPool3d(3, 2, 1, count_include_pad=False),
    "global maximum": GlobalMaximum, "global average": lambda: nn.AdaptiveAvgPool3d(1),
}
# PyTorch's pooling and group normalization are slower with the channels last.
FIRST = {"group normalization", "max pooling, padded", "average pooling, padded", "global average"}


def theirs(name, step, seconds):
    """Nanoseconds an element of PyTorch, after one run that is not counted."""
    x = torch.randn(SAMPLES, CHANNELS, SIDE, SIDE, SIDE)
    if name not in FIRST:
        x = x.to(memory_format=torch.channels_last_3d)
    model = nn.Sequential(nn.BatchNorm3d(CHANNELS), LAYERS[name]()) if step else LAYERS[name]()
    model.train(step)
    grad = torch.randn_like(model(x)) if step else None

    def run():
        if step:
            model(x).backward(grad)
        else:
            with torch.inference_mode():
                model(x)

    run()
    count, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        run()
        count += 1
    return spent * 1e9 / count / ELEMENTS


def ours(binary, name, step, seconds):
    pattern = "/".join(f"^{re.escape(part.replace(' ', '_'))}$" for part in ("BenchmarkElementwise", name, "train" if step else "infer"))
    out = subprocess.run([binary, "-test.run", "^$", "-test.bench", pattern, "-test.benchtime", f"{seconds}s"], check=True, capture_output=True, text=True).stdout
    if not (found := re.search(r"([\d.e+-]+) ns/element", out)):
        sys.exit(f"no figure of {name} in {out!r}")
    return float(found[1])


def cells(ours, theirs):
    return f"{min(theirs):.3f} | {min(ours):.3f} (**{min(theirs) / min(ours):.1f}x**)"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=.1)
    parser.add_argument("--page", type=pathlib.Path)
    parser.add_argument("layers", nargs="*", default=list(LAYERS))
    args = parser.parse_args()
    torch.set_num_threads(2)
    names = args.layers or list(LAYERS)
    measured = {(n, step): ([], []) for n in names for step in (False, True)}
    with tempfile.TemporaryDirectory() as folder:
        binary = f"{folder}/nn.test"
        subprocess.run(["go", "test", "-c", "-o", binary, "./nn"], check=True)
        for _ in range(args.rounds):
            for (name, step), (mine, other) in measured.items():
                mine.append(ours(binary, name, step, args.seconds))
                other.append(theirs(name, step, args.seconds))
    lines = ["| layer | forward: PyTorch | voxelstream | a step behind a batch normalization: PyTorch | voxelstream |", "|---|---|---|---|---|"]
    lines += [f"| {n} | {cells(*measured[n, False])} | {cells(*measured[n, True])} |" for n in names]
    table = "\n".join(lines) + "\n"
    print(table)
    if args.page:
        page = args.page.read_text()
        args.page.write_text(re.sub(r"(<!-- elementwise -->\n).*?(<!-- /elementwise -->)", lambda m: m[1] + table + m[2], page, flags=re.S))


if __name__ == "__main__":
    main()
