"""Draws the tables and the chart of docs/performance.md from what run.py measured.

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
        but = " without the tutorial" if names is MODELS else ""
        below = f", and {sum(r < 1 for r in compared)} of {len(compared)} are below 1" if min(compared) < 1 else ""
        lines += ["", f"Geometric mean of the ratios{but}: {math.exp(statistics.fmean(map(math.log, compared))):.2f}. The lowest is {min(compared):.2f}{below}."]
    return lines


SUMMARY = {"train": "training", "infer": "classification in batches", "latency": "one volume at a time"}


def faster(results, model, mode):
    """How many times as fast as the best peer we are, on each processor: with volumes as they arrive where that was measured."""
    found = sorted((r["processor"], ratios(r)) for r in results.values() if (r["model"], r["mode"]) == (model, mode))
    return [r.get("palette", r["dense"]) for _, r in found]


def span(values):
    low, high = f"{min(values):.1f}", f"{max(values):.1f}"
    return low if low == high else f"{low} to {high}"


def summary(results):
    """A table of one line for each model: the ratios, from processor to processor."""
    lines = [f"| network | {' | '.join(SUMMARY.values())} |", "|---|---|---|---|"]
    return lines + [f"| `{m}` | {' | '.join(f'{span(faster(results, m, mode))}x' for mode in SUMMARY)} |" for m in MODELS]


COLOURS = ("#a63603", "#e6550d", "#fdae6b")


def chart(results):
    """The summary as a picture: for each model and mode, a bar from the lowest to the highest ratio on any processor."""
    left, width, bar, gap = 92, 520, 15, 22
    top, most = 64, math.ceil(max(max(faster(results, m, mode)) for m in MODELS for mode in SUMMARY))
    height = top + len(MODELS) * (len(SUMMARY) * (bar + 3) + gap)
    at = lambda ratio: left + ratio / most * width
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 70} {height + 34}" font-family="system-ui, sans-serif" font-size="13" fill="#1a1b1e">',
           "<title>Speed relative to the fastest other framework, by network</title>", '<rect width="100%" height="100%" fill="#fff"/>',
           '<text x="0" y="18" font-size="15" font-weight="600">Speed relative to the fastest other framework</text>']
    x = 0
    for name, colour in zip(SUMMARY.values(), COLOURS):
        out.append(f'<rect x="{x}" y="31" width="11" height="11" rx="2" fill="{colour}"/><text x="{x + 17}" y="41">{name}</text>')
        x += 30 + 7 * len(name)
    for tick in range(most + 1):
        dark = "#5a5b60" if tick == 1 else "#dfddd7"
        out.append(f'<path d="M{at(tick):.1f} {top - 6}V{height - 8}" stroke="{dark}"/><text x="{at(tick):.1f}" y="{height + 10}" text-anchor="middle" fill="#5a5b60">{tick}x</text>')
    y = top
    for model in MODELS:
        out.append(f'<text x="{left - 12}" y="{y + 1.5 * bar + 8}" text-anchor="end" font-weight="600">{model}</text>')
        for mode, colour in zip(SUMMARY, COLOURS):
            values = faster(results, model, mode)
            end = statistics.fmean(values)
            out.append(f'<rect x="{left}" y="{y}" width="{at(end) - left:.1f}" height="{bar}" rx="2" fill="{colour}"/>'
                       f'<path d="M{at(min(values)):.1f} {y + bar / 2}H{at(max(values)):.1f}" stroke="#1a1b1e" stroke-width="1.5"/>'
                       f'<text x="{at(max(values)) + 6:.1f}" y="{y + 12}" font-size="12">{span(values)}</text>')
            y += bar + 3
        y += gap
    out.append(f'<text x="{left}" y="{height + 29}" fill="#5a5b60">1x is the fastest other framework. Bars are means over processors, lines the range.</text></svg>')
    return "\n".join(out) + "\n"


def draw(path, results):
    """Replaces the tables of a page, between marks such as <!-- models --> and <!-- /models -->, and the chart beside it."""
    text = path.read_text()
    for part, lines in (("summary", summary(results)), ("models", tables(results, MODELS)), ("layers", tables(results, LAYERS))):
        head, begin, rest = text.partition(f"<!-- {part} -->\n")
        _, end, tail = rest.partition(f"<!-- /{part} -->")
        if not end:
            sys.exit(f"{path}: found no part between <!-- {part} --> and <!-- /{part} -->")
        text = head + begin + "\n".join(lines) + "\n" + end + tail
    path.write_text(text)
    (path.parent / "pictures" / "performance.svg").write_text(chart(results))


if __name__ == "__main__":
    draw(pathlib.Path(sys.argv[2]), json.loads(pathlib.Path(sys.argv[1]).read_text()))
