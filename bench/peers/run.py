"""Side by side with the peers: the same models on the same data, the same machine, alternating rounds in one session.

usage: run.py VOXELSTREAM [--models models,layers] [--peers ...] [--rounds 5] [--seconds 2] [--threads 2] [--results FILE] [--page FILE] [--history FILE]

Each line of the table is kept as soon as it is measured: in the results (what was measured last, of every model on every processor, from which page.py draws the page) and in the history
(a ratio a line). PyTorch may live in another environment (--torch PYTHON), as it is large; without it, and without --torch, it is left out.
"""
import argparse
import atexit
import csv
import datetime
import importlib.util
import json
import os
import pathlib
import platform
import select
import shutil
import statistics
import subprocess
import sys
import tempfile

import page

here = pathlib.Path(__file__).parent
parser = argparse.ArgumentParser()
parser.add_argument("binary")
parser.add_argument("--models", default="models,layers", help="names, or models or layers for all of these")
parser.add_argument("--modes", default="train,infer,latency")
parser.add_argument("--peers", default="keras,torch,torch-compiled,onnxruntime,openvino")
parser.add_argument("--torch", default=sys.executable, help="the Python that has PyTorch")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--seconds", type=float, default=2)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--results", type=pathlib.Path, help="JSON file of the latest measurements, which is brought up to date")
parser.add_argument("--page", type=pathlib.Path, help="Markdown file whose tables are drawn from the results")
parser.add_argument("--history", type=pathlib.Path, help="CSV file to which the ratios are appended")
args = parser.parse_args()

TRAIN, INFER = ("keras", "torch", "torch-compiled"), ("keras", "torch", "torch-compiled", "onnxruntime", "openvino")
names = [n for name in args.models.split(",") for n in {"models": page.MODELS, "layers": page.LAYERS}.get(name, [name])]

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


# How long a peer may take to load, compile and warm up a model.
PATIENCE = 300 + 3 * args.seconds


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
            if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
                raise TimeoutError
            return json.loads(self.process.stdout.readline())
        except (OSError, ValueError):  # it died (out of memory, an operation that it lacks) or does not answer
            print(f"{self.name}, {model}, {mode}: no answer", file=sys.stderr, flush=True)
            self.process.kill()
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


def jobs():
    for name in names:
        large = name.startswith("conv32")
        for mode in args.modes.split(","):
            yield name, mode, 1 if mode == "latency" else 16 if large else 128


peers = {n: Peer(n) for n in args.peers.split(",") if has_torch() or not n.startswith("torch")}
runs = sum(len([p for p in peers if p in (TRAIN if mode == "train" else INFER)]) + 1 + (name == "tutorial") for name, mode, _ in jobs())
print(f"about {runs * (args.rounds * (args.seconds + .6) + 3) / 60:.0f} minutes", file=sys.stderr, flush=True)



def processor():
    """The processor's name, with what tells its generation from others of that name."""
    with open("/proc/cpuinfo") as f:
        about = dict((part.strip() for part in line.split(":", 1)) for line in f.read().split("\n\n")[0].splitlines() if ":" in line)
    name = about.get("model name", platform.machine())
    return f"{name}, family {about['cpu family']}, model {about['model']}" if "cpu family" in about else name


def versions():
    out = []
    for module, python in (("keras", sys.executable), ("tensorflow", sys.executable), ("torch", args.torch), ("onnxruntime", sys.executable), ("openvino", sys.executable)):
        if module == "torch" and not has_torch():
            continue
        out.append(module + " " + subprocess.run([python, "-c", f"import importlib.metadata as m\nfor n in ({module!r}, {module!r} + '-cpu'):\n try: print(m.version(n)); break\n except m.PackageNotFoundError: pass"],
                                                 capture_output=True, text=True).stdout.strip())
    return ", ".join(out)


session = {"date": str(datetime.date.today()), "processor": processor(), "processors": os.cpu_count(), "threads": args.threads, "rounds": args.rounds, "seconds": args.seconds, "peers": versions()}
commit = json.loads(subprocess.run([args.binary, "version", "--json"], capture_output=True, text=True, check=True).stdout)["commit"]


def keep(row):
    """Brings results, page and history up to date."""
    if args.results:
        results = json.loads(args.results.read_text()) if args.results.exists() else {}
        results[", ".join([row["processor"], row["model"], row["mode"]])] = row
        args.results.write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(results.items())) + "\n}\n")
        if args.page:
            page.draw(args.page, results)
    if args.history:
        new = not args.history.exists()
        with args.history.open("a", newline="") as f:
            out = csv.writer(f, lineterminator="\n")
            if new:
                out.writerow(["date", "commit", "processor", "model", "mode", "batch", "input", "rounds", "seconds", "ratio"])
            for kind, ratio in page.ratios(row).items():
                out.writerow([session["date"], commit, session["processor"], row["model"], row["mode"], row["batch"], kind, args.rounds, args.seconds, f"{ratio:.2f}"])


for name, mode, batch in jobs():
    runners = [peers[p] for p in (TRAIN if mode == "train" else INFER) if p in peers] + ([Ours("palette")] if name == "tutorial" else []) + [Ours("dense")]
    rates, tails = {r.name: [] for r in runners}, {r.name: [] for r in runners}
    for _ in range(args.rounds):
        for r in runners:
            if got := r.measure(name, "train" if mode == "train" else "infer", batch):
                rates[r.name].append(round(got["latency_ms"]["p50"] if mode == "latency" else got["samples_per_second"], 5))
                tails[r.name].append(round(got["latency_ms"]["p99"], 5))
    row = {"model": name, "mode": mode, "batch": batch, **session, "measured": {n: v for n, v in rates.items() if v}}
    if mode == "latency":
        row["p99"] = {n: round(statistics.median(v), 5) for n, v in tails.items() if v}
    print(page.line(row), file=sys.stderr, flush=True)
    if page.ratios(row):
        keep(row)

for p in peers.values():
    p.process.stdin.close()
    p.process.wait()
