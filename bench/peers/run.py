"""Side by side with the peers: the same models on the same data, the same machine, alternating rounds in one session. Prints Markdown.

usage: run.py VOXELSTREAM [--models models,layers] [--peers ...] [--rounds 5] [--seconds 2] [--threads 2] [--page docs/performance.md] [--history bench/history/peers.csv]

PyTorch may live in another environment (--torch PYTHON), as it is large; without it, and without --torch, it is left out.
"""
import argparse
import atexit
import csv
import datetime
import importlib.util
import json
import math
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile

here = pathlib.Path(__file__).parent
sys.path.insert(0, str(here))
parser = argparse.ArgumentParser()
parser.add_argument("binary")
parser.add_argument("--models", default="models,layers", help="names, or models or layers for all of these")
parser.add_argument("--modes", default="train,infer,latency")
parser.add_argument("--peers", default="keras,torch,torch-compiled,onnxruntime,openvino")
parser.add_argument("--torch", default=sys.executable, help="the Python that has PyTorch")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--seconds", type=float, default=2)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--page", type=pathlib.Path, help="file whose part between <!-- peers --> and <!-- /peers --> is replaced")
parser.add_argument("--history", type=pathlib.Path, help="CSV to which the ratios are appended")
parser.add_argument("--out", type=pathlib.Path)
args = parser.parse_args()

TRAIN, INFER = ("keras", "torch", "torch-compiled"), ("keras", "torch", "torch-compiled", "onnxruntime", "openvino")
MODELS = ["tutorial", "voxnet", "resnet", "medical"]
LAYERS = [f"conv{side}_{inp}_64_k{k}_s{s}" for side, inp in ((14, 32), (16, 64), (32, 64)) for k in (1, 3, 5) for s in (1, 2)]
names = [n for name in args.models.split(",") for n in {"models": MODELS, "layers": LAYERS}.get(name, [name])]

work = pathlib.Path(tempfile.mkdtemp(prefix="bench-peers-"))
make = f"""
import os, sys; os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow"); sys.path.insert(0, {str(here)!r})
import keras, models, onnx_export
for name in {names!r}:
    keras.utils.set_random_seed(1)
    model = {{**models.MODELS, **models.LAYERS}}[name]()
    model.save(os.path.join({str(work)!r}, name + ".keras"))
    onnx_export.export(model, os.path.join({str(work)!r}, name + ".onnx"))
"""
subprocess.run([sys.executable, "-c", make], check=True, stderr=subprocess.DEVNULL)
atexit.register(shutil.rmtree, work, ignore_errors=True)


def has_torch():
    if args.torch == sys.executable:
        return importlib.util.find_spec("torch") is not None
    return True


class Peer:
    """One library in a process that lives as long as the session."""

    def __init__(self, name):
        self.name = name
        python = args.torch if name.startswith("torch") else sys.executable
        self.process = subprocess.Popen([python, str(here / "worker.py"), name, str(args.threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)

    def measure(self, model, mode, batch):
        try:
            self.process.stdin.write(json.dumps({"model": str(work / model), "mode": mode, "batch": batch, "seconds": args.seconds}) + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())
        except (OSError, ValueError):  # it died: out of memory, or an operation that it lacks
            self.process.wait()
            self.__init__(self.name)
            return None


class Ours:
    def __init__(self, kind):
        self.name = kind

    def measure(self, model, mode, batch):
        done = subprocess.run([args.binary, "model", "bench", str(work / (model + ".keras")), "--batch", str(batch), "--mode", mode, "--input", self.name,
                               "--threads", str(args.threads), "--time", f"{args.seconds}s", "--json", "--quiet"], capture_output=True, text=True)
        if done.returncode:
            print(f"voxelstream, {model}, {mode}: {done.stderr.strip()}", file=sys.stderr, flush=True)
            return None
        return json.loads(done.stdout)


def number(v):
    return f"{v:,.0f}" if v >= 100 else f"{v:.3g}"


def spread(values):
    return f"{number(statistics.median(values))} [{number(min(values))}–{number(max(values))}]"


def jobs():
    for name in names:
        large = name.startswith("conv32")
        for mode in args.modes.split(","):
            yield name, mode, 1 if mode == "latency" else 16 if large else 128


peers = {n: Peer(n) for n in args.peers.split(",") if has_torch() or not n.startswith("torch")}
runs = sum(len([p for p in peers if p in (TRAIN if mode == "train" else INFER)]) + 1 + (name == "tutorial") for name, mode, _ in jobs())
print(f"about {runs * (args.rounds * (args.seconds + .6) + 3) / 60:.0f} minutes", file=sys.stderr, flush=True)

WHAT = {"train": "train, batch {}, samples/s", "infer": "infer, batch {}, samples/s", "latency": "infer, batch 1, ms: p50 [range] p99"}
lines = ["| model | what | best peer | others | voxelstream, palette | voxelstream, dense |", "|---|---|---|---|---|---|"]
ratios, rows = {}, []
for name, mode, batch in jobs():
    theirs = [peers[p] for p in (TRAIN if mode == "train" else INFER) if p in peers]
    runners = theirs + ([Ours("palette")] if name == "tutorial" else []) + [Ours("dense")]
    rates, tails = {r.name: [] for r in runners}, {r.name: [] for r in runners}
    for _ in range(args.rounds):
        for r in runners:
            if got := r.measure(name, "train" if mode == "train" else "infer", batch):
                rates[r.name].append(got["latency_ms"]["p50"] if mode == "latency" else got["samples_per_second"])
                tails[r.name].append(got["latency_ms"]["p99"])
    medians = {n: statistics.median(v) for n, v in rates.items() if v}
    if not all(r.name in medians for r in runners if isinstance(r, Ours)) or not any(r.name in medians for r in theirs):
        lines.append(f"| {name} | {WHAT[mode].format(batch)} | not measured: ours or all peers failed | | | |")
        continue
    order = sorted((r.name for r in theirs if r.name in medians), key=lambda n: medians[n] * (1 if mode == "latency" else -1))
    best = order[0]

    def cell(n):
        text = spread(rates[n]) + (f" {number(statistics.median(tails[n]))}" if mode == "latency" else "")
        if n in ("palette", "dense"):
            ratio = medians[best] / medians[n] if mode == "latency" else medians[n] / medians[best]
            ratios[name, mode, batch, n] = ratio
            text += f" (**{ratio:.2f}x**)"
        return text

    others = ", ".join(f"{n} {number(medians[n])}" for n in order[1:])
    lines.append(f"| {name} | {WHAT[mode].format(batch)} | {best} {cell(best)} | {others} | {cell('palette') if name == 'tutorial' else '–'} | {cell('dense')} |")
    print(lines[-1], file=sys.stderr, flush=True)
    rows.append({"model": name, "mode": mode, "batch": batch, "measured": rates})

for p in peers.values():
    p.process.stdin.close()
    p.process.wait()


def processor():
    with open("/proc/cpuinfo") as f:
        return next((line.split(":")[1].strip() for line in f if line.startswith("model name")), platform.machine())


def versions():
    out = []
    for module, python in (("keras", sys.executable), ("tensorflow", sys.executable), ("torch", args.torch), ("onnxruntime", sys.executable), ("openvino", sys.executable)):
        if module == "torch" and not has_torch():
            continue
        out.append(module + " " + subprocess.run([python, "-c", f"import importlib.metadata as m\nfor n in ({module!r}, {module!r} + '-cpu'):\n try: print(m.version(n)); break\n except m.PackageNotFoundError: pass"],
                                                 capture_output=True, text=True).stdout.strip())
    return ", ".join(out)


others = [r for (name, *_, kind), r in ratios.items() if kind == "dense" and name != "tutorial"]
text = [f"{datetime.date.today()}, {args.threads} of {os.cpu_count()} processors of {processor()}, {args.threads} threads each; medians of {args.rounds} alternating rounds of {args.seconds:g} s in one "
        f"session, ranges in brackets, ratio to the best peer. Peers in float32: {versions()}.", "", *lines]
if others:
    text += ["", f"Geometric mean of the ratios but the tutorial's: {math.exp(statistics.fmean(map(math.log, others))):.2f}; the least is {min(others):.2f}."]
text = "\n".join(text)
print(text)
if args.out:
    args.out.write_text(text + "\n")
    args.out.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
if args.page:
    head, _, rest = args.page.read_text().partition("<!-- peers -->\n")
    args.page.write_text(head + "<!-- peers -->\n" + text + "\n<!-- /peers -->" + rest.partition("<!-- /peers -->")[2])
if args.history:
    new = not args.history.exists()
    commit = json.loads(subprocess.run([args.binary, "version", "--json"], capture_output=True, text=True).stdout)["commit"]
    with args.history.open("a", newline="") as f:
        out = csv.writer(f)
        if new:
            out.writerow(["date", "commit", "processor", "model", "mode", "batch", "input", "rounds", "seconds", "ratio"])
        for (name, mode, batch, kind), ratio in ratios.items():
            out.writerow([datetime.date.today(), commit, processor(), name, mode, batch, kind, args.rounds, args.seconds, f"{ratio:.2f}"])
