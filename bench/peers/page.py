"""Draws the tables of docs/performance.md from what run.py measured.

usage: page.py RESULTS.json PAGE.md
"""
import json
import math
import pathlib
import statistics
import sys

MODELS = ["tutorial", "voxnet", "resnet", "medical"]
LAYERS = [f"conv{side}_{inp}_64_k{k}_s{s}" for side, inp in ((14, 32), (16, 64), (32, 64)) for k in (1, 3, 5) for s in (1, 2)]
MODES = {"train": "train, batch {}, samples/s", "infer": "infer, batch {}, samples/s", "latency": "infer, batch 1, ms: p50 [range] p99"}
OURS = ("palette", "dense")


def best(row):
    """The peers, the fastest first."""
    theirs = {n: statistics.median(v) for n, v in row["measured"].items() if n not in OURS}
    return sorted(theirs, key=theirs.get, reverse=row["mode"] != "latency")


def ratios(row):
    """How many times as fast as the best peer we are, by kind of input; empty where there is nothing to compare."""
    if not (order := best(row)):
        return {}
    peer = statistics.median(row["measured"][order[0]])
    ours = {n: statistics.median(row["measured"][n]) for n in OURS if n in row["measured"]}
    return {n: peer / v if row["mode"] == "latency" else v / peer for n, v in ours.items()}


def number(v):
    return f"{v:,.0f}" if v >= 100 else f"{v:.3g}"


def spread(row, name):
    values = row["measured"][name]
    text = f"{number(statistics.median(values))} [{number(min(values))}–{number(max(values))}]"
    return text + (f" {number(row['p99'][name])}" if row["mode"] == "latency" else "")


def line(row):
    """A line of the table."""
    order, faster = best(row), ratios(row)
    ours = [f"{spread(row, n)} (**{faster[n]:.2f}x**)" if n in faster else "–" for n in (OURS if row["model"] in MODELS else OURS[1:])]
    first = f"{order[0]} {spread(row, order[0])}" if order else "none"
    others = ", ".join(f"{n} {number(statistics.median(row['measured'][n]))}" for n in order[1:])
    return f"| {row['model']} | {MODES[row['mode']].format(row['batch'])} | {first} | {others} | {' | '.join(ours)} |"


def tables(results, names):
    """The lines of a table for each processor."""
    lines = []
    for processor in sorted({r["processor"] for r in results.values()}):
        if lines:
            lines.append("")
        lines += table({f"{r['model']} {r['mode']}": r for r in results.values() if r["processor"] == processor}, names)
    return lines


def table(results, names):
    rows = [results[f"{n} {m}"] for n in names for m in MODES if f"{n} {m}" in results]
    if not rows:
        return []
    lines = []
    for key in dict.fromkeys(tuple(r[k] for k in ("date", "processor", "processors", "threads", "rounds", "seconds", "peers")) for r in rows):
        date, processor, processors, threads, rounds, seconds, peers = key
        of = [r for r in rows if (r["date"], r["rounds"], r["seconds"], r["peers"]) == (date, rounds, seconds, peers)]
        which = "" if len(of) == len(rows) else ", ".join(dict.fromkeys(r["model"] for r in of)) + ": "
        lines.append(f"{which}{date}, {threads} of {processors} processors of {processor}, {threads} threads each; medians of {rounds} alternating rounds of {seconds:g} s in one session, "
                     f"ranges in brackets, ratio to the best peer. Peers in float32: {peers}.")
        lines.append("")
    kinds = ["voxelstream, palette", "voxelstream, dense"] if names is MODELS else ["voxelstream"]
    lines += [f"| model | what | best peer | others | {' | '.join(kinds)} |", "|" + "---|" * (4 + len(kinds))] + [line(r) for r in rows]
    compared = [ratios(r)["dense"] for r in rows if r["model"] != "tutorial"]
    if compared:
        but = " but the tutorial's" if names is MODELS else ""
        below = f"; {sum(r < 1 for r in compared)} of {len(compared)} are below 1" if min(compared) < 1 else ""
        lines += ["", f"Geometric mean of the ratios{but}: {math.exp(statistics.fmean(map(math.log, compared))):.2f}; the least is {min(compared):.2f}{below}."]
    return lines


def draw(path, results):
    """Replaces the tables of a page: the parts between <!-- models --> and <!-- /models -->, <!-- layers --> and <!-- /layers -->."""
    text = path.read_text()
    for part, names in (("models", MODELS), ("layers", LAYERS)):
        head, begin, rest = text.partition(f"<!-- {part} -->\n")
        _, end, tail = rest.partition(f"<!-- /{part} -->")
        if not end:
            sys.exit(f"{path}: found no part between <!-- {part} --> and <!-- /{part} -->")
        text = head + begin + "\n".join(tables(results, names)) + "\n" + end + tail
    path.write_text(text)


if __name__ == "__main__":
    draw(pathlib.Path(sys.argv[2]), json.loads(pathlib.Path(sys.argv[1]).read_text()))
