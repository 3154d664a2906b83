"""Side by side with the peers: the same models, the same machine, alternating rounds in one session. Prints a Markdown table.

usage: run.py VOXELSTREAM [--rounds 5] [--seconds 2] [--threads 2] [--models tutorial,voxnet] [--out docs/performance.md]
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

here = pathlib.Path(__file__).parent
args = argparse.ArgumentParser()
args.add_argument("binary")
args.add_argument("--rounds", type=int, default=5)
args.add_argument("--seconds", type=float, default=2)
args.add_argument("--threads", type=int, default=2)
args.add_argument("--models", default="tutorial,voxnet")
args.add_argument("--peers", default="keras,onnxruntime,openvino")
args.add_argument("--out")
args = args.parse_args()

work = pathlib.Path(tempfile.mkdtemp(prefix="bench-peers-"))
make = f"""
import os, sys; os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow"); sys.path.insert(0, {str(here)!r})
import keras, models, onnx_export
for name in {args.models.split(',')!r}:
    keras.utils.set_random_seed(1)
    model = {{**models.MODELS, **models.LAYERS}}[name]()
    model.save(os.path.join({str(work)!r}, name + ".keras"))
    onnx_export.export(model, os.path.join({str(work)!r}, name + ".onnx"))
"""
subprocess.run([sys.executable, "-c", make], check=True)


class Peer:
    def __init__(self, name):
        self.name = name
        self.process = subprocess.Popen([sys.executable, str(here / "worker.py"), name, str(args.threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)

    def measure(self, model, mode, batch):
        self.process.stdin.write(json.dumps({"model": str(work / model), "mode": mode, "batch": batch, "seconds": args.seconds}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


class Ours:
    def __init__(self, kind):
        self.name, self.kind = f"voxelstream ({kind})", kind

    def measure(self, model, mode, batch):
        out = subprocess.run([args.binary, "model", "bench", str(work / (model + ".keras")), "--batch", str(batch), "--mode", mode, "--input", self.kind,
                              "--threads", str(args.threads), "--time", f"{args.seconds}s", "--json", "--quiet"], check=True, capture_output=True, text=True)
        return json.loads(out.stdout)


def cell(values, best):
    middle = statistics.median(values)
    text = f"{middle:,.0f}" if middle >= 100 else f"{middle:.3g}"
    ratio = f" ({best(middle)})" if best else ""
    return f"{text} [{min(values):,.4g}–{max(values):,.4g}]{ratio}"


lines = ["| model | what | " + " | ".join(["peer best", "voxelstream (palette)", "voxelstream (dense)"]) + " |", "|---|---|---|---|---|"]
details = []
for model in args.models.split(","):
    for mode, batch in (("train", 128), ("infer", 128), ("infer", 1)):
        if model.startswith("conv") and mode == "train":
            continue
        names = [p for p in args.peers.split(",") if mode == "infer" or p == "keras"]
        runners = [Peer(p) for p in names] + ([Ours("palette")] if model == "tutorial" else []) + [Ours("dense")]
        measured = {r.name: [] for r in runners}
        for _ in range(args.rounds):
            for r in runners:
                got = r.measure(model, mode, batch)
                measured[r.name].append(got["latency_ms"]["p50"] if batch == 1 else got["samples_per_second"])
        for r in runners:
            if isinstance(r, Peer):
                r.process.stdin.close()
                r.process.wait()
        medians = {n: statistics.median(v) for n, v in measured.items()}
        pick = min if batch == 1 else max
        best = pick(names, key=lambda n: medians[n])
        what = f"{mode}, batch {batch}, " + ("ms (p50)" if batch == 1 else "samples/s")
        ratio = lambda v, b=medians[best], one=batch == 1: f"{b / v if one else v / b:.2f}x"
        row = [f"{best}: {cell(measured[best], None)}"] + [cell(measured[n], ratio) if n in measured else "–" for n in ("voxelstream (palette)", "voxelstream (dense)")]
        lines.append(f"| {model} | {what} | " + " | ".join(row) + " |")
        details.append({"model": model, "mode": mode, "batch": batch, "measured": measured})
        print(lines[-1], file=sys.stderr, flush=True)

text = "\n".join(lines)
print(text)
if args.out:
    pathlib.Path(args.out).write_text(text + "\n")
    pathlib.Path(args.out).with_suffix(".json").write_text(json.dumps({"cpu_count": os.cpu_count(), "threads": args.threads, "rounds": details}, indent=1) + "\n")
