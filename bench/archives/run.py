"""Archives of 3D digits beside the Python way, in alternating rounds in one session: reading alone beside h5py, and the whole way from the archive to classes beside h5py, a table of colours and
ONNX Runtime or Keras. Each layout holds the same rows of 4096 float64.

usage: run.py VOXELSTREAM READER [--rows 100000] [--rounds 5] [--layouts ...] [--only read|whole] [--page FILE] [--history FILE] [--work FOLDER]

READER is bench/archives, built. The archives, 33 kB a row, stay in the folder --work.
"""
import argparse
import csv
import datetime
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

here = pathlib.Path(__file__).parent
sys.path.insert(0, str(here.parent / "peers"))

LAYOUTS = {
    "contiguous": {},
    "gzip": {"compression": "gzip", "chunks": (64, 4096)},
    "gzip, shuffled": {"compression": "gzip", "shuffle": True, "chunks": (64, 4096)},
    "gzip, h5py's chunks": {"compression": "gzip"},
    "Blosc": {"chunks": (64, 4096)},
}
parser = argparse.ArgumentParser()
parser.add_argument("binary")
parser.add_argument("reader")
parser.add_argument("--rows", type=int, default=100_000)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--layouts", default=";".join(LAYOUTS), help="separated by semicolons")
parser.add_argument("--whole-layouts", default="contiguous;gzip;Blosc", help="those of them that go the whole way")
parser.add_argument("--threads", type=int, default=min(2, len(os.sched_getaffinity(0))))
parser.add_argument("--only", choices=["read", "whole"])
parser.add_argument("--page", type=pathlib.Path, help="Markdown file whose part between <!-- archives --> and <!-- /archives --> is replaced")
parser.add_argument("--history", type=pathlib.Path, help="CSV file to which the rates are appended")
parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "bench-archives")
args = parser.parse_args()
layouts = args.layouts.split(";")
args.work.mkdir(parents=True, exist_ok=True)
BEGIN, END = "<!-- archives -->\n", "<!-- /archives -->"
if args.page and END not in args.page.read_text().partition(BEGIN)[2]:
    parser.error(f"{args.page}: found no part between <!-- archives --> and <!-- /archives -->")


def make(layout):
    """An archive of drawn digits, upright and rotated with noise, in random order."""
    path = args.work / f"{layout.replace(' ', '-').replace(',', '')}-{args.rows}.h5"
    if path.exists():
        return str(path)
    import h5py
    import hdf5plugin
    import numpy as np
    base = args.work / "digits.h5"
    if not base.exists():
        subprocess.run([args.binary, "generate", "--count", "1000", "--augment", "--seed", "5", "--out", base, "--quiet"], check=True)
    with h5py.File(base) as f:
        x, y = f["X_train"][:], f["y_train"][:]
    options = LAYOUTS[layout] | (dict(hdf5plugin.Blosc(cname="lz4", clevel=5, shuffle=hdf5plugin.Blosc.SHUFFLE)) if layout == "Blosc" else {})
    order, unfinished = np.random.default_rng(1).integers(0, len(x), args.rows), path.with_suffix(".part")
    with h5py.File(unfinished, "w") as f:
        d = f.create_dataset("X_train", (args.rows, x.shape[1]), "f8", **options)
        step = max(1024, d.chunks[0] if d.chunks else 0)
        for first in range(0, args.rows, step):
            d[first : first + step] = x[order[first : first + step]]
        f["y_train"] = y[order]
    unfinished.rename(path)
    return str(path)


def make_model():
    path = args.work / "tutorial"
    if not path.with_suffix(".onnx").exists():
        code = f"""
import os, sys; os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow"); sys.path.insert(0, {str(here.parent / "peers")!r})
import keras, models, onnx_export
keras.utils.set_random_seed(1)
model = models.MODELS["tutorial"]()
model.save({str(path) + ".keras"!r})
onnx_export.export(model, {str(path) + ".onnx"!r})
"""
        subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)
        subprocess.run([args.binary, "model", "input", f"{path}.keras", "--values", "palette", "--force", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return str(path)


class Peer:
    """The Python way, in a process that lives as long as the session."""

    def __init__(self, name, threads):
        self.name = name
        self.process = subprocess.Popen([sys.executable, here / "worker.py", name, str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def run(self, path):
        self.process.stdin.write(json.dumps({"path": path, "model": str(args.work / "tutorial"), "out": str(args.work / f"{self.name}.npy")}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def bound(threads):
    return lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


class Reader:
    def __init__(self, threads):
        self.name, self.threads = "voxelstream", threads

    def run(self, path):
        out = subprocess.run([args.reader, path], check=True, capture_output=True, text=True, preexec_fn=bound(self.threads)).stdout.split()
        return {"rows": int(out[0]), "seconds": float(out[1]), "cpu": float(out[2])}


class Reprocess:
    def __init__(self, threads):
        self.name, self.threads, self.largest = "voxelstream", threads, 0

    def run(self, path):
        out = args.work / "results"
        shutil.rmtree(out, ignore_errors=True)
        child = subprocess.Popen([args.binary, "reprocess", path, "--model", args.work / "tutorial.keras", "--out", out, "--format", "csv", "--threads", str(self.threads), "--json", "--quiet"],
                                 stdout=subprocess.PIPE, text=True, preexec_fn=bound(self.threads))
        while True:
            try:
                text = child.communicate(timeout=.2)[0]
                break
            except subprocess.TimeoutExpired:
                self.largest = max(self.largest, memory(child.pid))
        done = json.loads(text)
        s = done["stages"]
        return {"rows": done["rows"], "seconds": done["seconds"], "cpu": 0, "stages": {"read": s["read"], "colours": s["voxelize"], "network": s["network"]}}

    def close(self):
        pass


def memory(pid):
    """The megabytes of a process and its children, each page once."""
    total = 0
    try:
        children = pathlib.Path(f"/proc/{pid}/task")
        for task in children.iterdir():
            for child in (task / "children").read_text().split():
                total += memory(int(child))
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) / 1e3
    except OSError:
        pass  # it has ended
    return total


def agree(name):
    """The share of rows that got the same class from a peer as from us."""
    import numpy as np
    theirs = np.load(args.work / f"{name}.npy")[:, 0]
    with (args.work / "results" / "results.csv").open() as f:
        ours = np.array([int(r["class"]) for r in csv.DictReader(f)])
    return (ours == theirs).mean() if len(ours) == len(theirs) else 0


sys.path.insert(0, str(here))
commit = json.loads(subprocess.run([args.binary, "version", "--json"], capture_output=True, text=True, check=True).stdout)["commit"]


def keep(what, layout, threads, rates):
    """Appends medians to the history."""
    if not args.history:
        return
    new = not args.history.exists()
    with args.history.open("a", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        if new:
            out.writerow(["date", "commit", "what", "layout", "rows", "threads", "rounds", "who", "rows_per_second"])
        for who, values in rates.items():
            out.writerow([datetime.date.today(), commit, what, layout, args.rows, threads, args.rounds, who, round(statistics.median(values))])


def rounds(runners, path):
    """The rates, the seconds of processor time and the last answers of all runners, in alternating rounds; the first, which warms up, does not count."""
    rates, cpu, last = {r.name: [] for r in runners}, {r.name: [] for r in runners}, {}
    for i in range(args.rounds + 1):
        for r in runners:
            last[r.name] = got = r.run(path)
            if got["rows"] != args.rows:
                sys.exit(f"{r.name}: {path}: found {got['rows']} rows, want {args.rows}")
            if i > 0:
                rates[r.name].append(got["rows"] / got["seconds"])
                cpu[r.name].append(got["cpu"])
    return rates, cpu, last


def cell(values):
    return f"{statistics.median(values):,.0f} [{min(values):,.0f}–{max(values):,.0f}]"


tables = []
counts = sorted({1, args.threads})
if args.only != "whole":
    lines = ["| reading | cores | h5py, rows/s | voxelstream, rows/s | ratio | of processor time |", "|---|---|---|---|---|---|"]
    for layout in layouts:
        path = make(layout)
        for threads in counts:
            peer = Peer("h5py", threads)
            rates, cpu, _ = rounds([peer, Reader(threads)], path)
            peer.close()
            keep("read", layout, threads, rates)
            ratio = statistics.median(rates["voxelstream"]) / statistics.median(rates["h5py"])
            lines.append(f"| {layout} | {threads} | {cell(rates['h5py'])} | {cell(rates['voxelstream'])} | {ratio:.1f}x | {statistics.median(cpu['h5py']) / statistics.median(cpu['voxelstream']):.1f}x |")
            print(lines[-1], file=sys.stderr, flush=True)
    tables.append("\n".join(lines))
if args.only != "read":
    make_model()
    lines = ["| the whole way | cores | | rows/s | read, colour, network: s | ratio | same class |", "|---|---|---|---|---|---|---|"]
    for layout in [name for name in layouts if name in args.whole_layouts.split(";")]:
        path = make(layout)
        ours = Reprocess(args.threads)
        runners = [Peer("onnxruntime", args.threads), Peer("keras", args.threads), ours]
        rates, _, last = rounds(runners, path)
        for r in runners:
            r.close()
        keep("whole", layout, args.threads, rates)
        for r in runners:
            own = r is ours
            ratio = "" if own else f"{statistics.median(rates[ours.name]) / statistics.median(rates[r.name]):.1f}x"
            stages = ", ".join(f"{last[r.name]['stages'][s]:.1f}" for s in ("read", "colours", "network"))
            extra = f"{ours.largest:.0f} MB" if own else f"{agree(r.name):.2%}"
            lines.append(f"| {layout} | {args.threads} | {r.name} | {cell(rates[r.name])} | {stages} | {ratio} | {extra} |")
            print(lines[-1], file=sys.stderr, flush=True)
    tables.append("\n".join(lines))
text = "\n\n".join(tables)
print(text)
if args.page:
    head, _, rest = args.page.read_text().partition(BEGIN)
    args.page.write_text(head + BEGIN + text + "\n" + END + rest.partition(END)[2])
