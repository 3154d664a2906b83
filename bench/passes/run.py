"""What each optimization pass buys: the tutorial's network without it, in alternating rounds in one session. Each number is how many times as long a step takes
when the pass is switched off, from the least of the rounds' medians, since whatever else the machine does only adds to them; without "all" it is the plain operations.

usage: run.py VOXELSTREAM [--rounds N] [--seconds S] [--threads N] [--page docs/performance.md]
"""
import argparse
import json
import pathlib
import re
import subprocess

parser = argparse.ArgumentParser()
parser.add_argument("binary")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--seconds", type=float, default=.3)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--page", type=pathlib.Path, help="Markdown file whose part between <!-- passes --> and <!-- /passes --> is replaced")
args = parser.parse_args()

BEGIN, END = "<!-- passes -->\n", "<!-- /passes -->"
if args.page and END not in args.page.read_text().partition(BEGIN)[2]:
    parser.error(f"{args.page}: found no part between <!-- passes --> and <!-- /passes -->")
JOBS = [(mode, batch, kind) for mode, batch in (("train", 128), ("infer", 128), ("infer", 1)) for kind in ("palette", "dense")]


def milliseconds(without, mode, batch, kind):
    """The median time of a step."""
    out = subprocess.run([args.binary, "model", "bench", "--batch", str(batch), "--mode", mode, "--input", kind, "--threads", str(args.threads),
                          "--time", f"{args.seconds}s", "--without", without, "--json", "--quiet"], check=True, capture_output=True, text=True).stdout
    return json.loads(out)["latency_ms"]["p50"]


listed = subprocess.run([args.binary, "model", "bench", "--help"], check=True, capture_output=True, text=True).stdout
names = re.findall(r"^    (\S+) +[A-Z]", listed, re.MULTILINE) + ["all"]
times = {(name, job): [] for name in ["", *names] for job in JOBS}
for i in range(args.rounds):
    for (name, job), measured in times.items():
        if i == 0 or name not in ("kernels", "all"):  # a hundred times as long, so once will do
            measured.append(milliseconds(name, *job))

lines = ["| without | " + " | ".join(f"{mode}, batch {batch}, {kind}" for mode, batch, kind in JOBS) + " |", "|" + "---|" * (1 + len(JOBS))]
for name in names:
    cells = []
    for job in JOBS:
        ratio = min(times[name, job]) / min(times["", job])
        cells.append("–" if .9 < ratio < 1.1 else f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.0f}x")
    if set(cells) != {"–"}:
        lines.append(f"| {name} | {' | '.join(cells)} |")
table = "\n".join(lines)
print(table)
if args.page:
    head, _, rest = args.page.read_text().partition(BEGIN)
    args.page.write_text(head + BEGIN + table + "\n" + END + rest.partition(END)[2])
