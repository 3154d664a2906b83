"""The tutorial in full, here and in Keras: the same 10,000 rows, network and settings, several seeds each. Prints a Markdown table.

usage: run.py VOXELSTREAM IMAGES LABELS [--seeds 3] [--epochs 40] [--work FOLDER] [--only keras|voxelstream]

IMAGES and LABELS are MNIST's t10k files. Training rows are the digits 1000 to 5999, each upright and rotated; the digits 0 to 999 are looked at once, by the finished models.
What is done already in FOLDER is not done again.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

args = argparse.ArgumentParser()
args.add_argument("binary")
args.add_argument("images")
args.add_argument("labels")
args.add_argument("--seeds", type=int, default=3)
args.add_argument("--epochs", type=int, default=40)
args.add_argument("--work", type=pathlib.Path)
args.add_argument("--only", choices=["keras", "voxelstream"])
args = args.parse_args()
work = args.work or pathlib.Path(tempfile.mkdtemp(prefix="tutorial-"))
work.mkdir(parents=True, exist_ok=True)


def archive(name, first, count):
    path = work / name
    if not path.exists():
        subprocess.run([args.binary, "generate", "--digits", args.images, "--labels", args.labels, "--first", str(first), "--count", str(count),
                        "--augment", "--seed", "7", "--quiet", "--out", path], check=True, stdout=subprocess.DEVNULL)
    return path


train, test = archive("train.h5", 1000, 5000), archive("test.h5", 0, 1000)


def ours(seed):
    out, begin = work / f"voxelstream{seed}.keras", time.perf_counter()
    done = subprocess.run([args.binary, "train", train, "--arch", "tutorial", "--epochs", str(args.epochs), "--validation-split", "0.3", "--seed", str(seed),
                           "--threads", "2", "--quiet", "--json", "--out", out], check=True, capture_output=True, text=True)
    result = {"history": json.loads(done.stdout)["history"], "seconds": time.perf_counter() - begin}
    got = subprocess.run([args.binary, "evaluate", test, "--model", out, "--quiet", "--json"], check=True, capture_output=True, text=True)
    return result | {"test": json.loads(got.stdout)["accuracy"]}


def theirs(seed):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import h5py
    import keras
    import matplotlib
    import numpy as np
    import tensorflow as tf
    from keras import layers

    if not tf.config.threading.get_intra_op_parallelism_threads():
        tf.config.threading.set_intra_op_parallelism_threads(2)

    def rows(path):
        with h5py.File(path) as f:
            x, y = f["X_train"][:], f["y_train"][:]
        span = x.max(axis=1, keepdims=True) - x.min(axis=1, keepdims=True)
        colours = matplotlib.colormaps["Oranges"](np.divide(x - x.min(axis=1, keepdims=True), span, out=np.zeros_like(x), where=span > 0))[..., :3]
        return colours.reshape(-1, 16, 16, 16, 3).astype(np.float32), keras.utils.to_categorical(y, 10)

    keras.utils.set_random_seed(seed)
    he = "he_uniform"
    model = keras.Sequential([
        layers.Input((16, 16, 16, 3)),
        layers.Conv3D(32, 3, activation="relu", kernel_initializer=he), layers.MaxPooling3D(2), layers.BatchNormalization(), layers.Dropout(.5),
        layers.Conv3D(64, 3, activation="relu", kernel_initializer=he), layers.MaxPooling3D(2), layers.BatchNormalization(), layers.Dropout(.5),
        layers.Flatten(), layers.Dense(256, activation="relu", kernel_initializer=he), layers.Dense(256, activation="relu", kernel_initializer=he),
        layers.Dense(10, activation="softmax")])
    model.compile(loss="categorical_crossentropy", optimizer=keras.optimizers.Adam(1e-3), metrics=["accuracy"])
    x, y = rows(train)
    begin = time.perf_counter()
    history = model.fit(x, y, batch_size=128, epochs=args.epochs, validation_split=.3, verbose=0).history
    seconds = time.perf_counter() - begin
    return {"history": history, "seconds": seconds, "test": model.evaluate(*rows(test), verbose=0)[1]}


def cached(name, seed, run):
    path = work / f"{name}{seed}.json"
    if not path.exists():
        path.write_text(json.dumps(run(seed)))
    return json.loads(path.read_text())


print("| | seed | accuracy | val_accuracy, last | val_accuracy, mean of last 10 | test digits | seconds |\n|---|---|---|---|---|---|---|")
for name, run in (("keras", theirs), ("voxelstream", ours)):
    if args.only not in (None, name):
        continue
    figures = []
    for seed in range(args.seeds):
        r = cached(name, seed, run)
        h = r["history"]
        figures.append((h["accuracy"][-1], h["val_accuracy"][-1], statistics.mean(h["val_accuracy"][-10:]), r["test"], r["seconds"]))
        print(f"| {name} | {seed} | " + " | ".join(f"{v:.3f}" for v in figures[-1][:4]) + f" | {figures[-1][4]:.0f} |", flush=True)
    print(f"| {name} | mean | " + " | ".join(f"{statistics.mean(c):.3f}" for c in list(zip(*figures))[:4]) + f" | {statistics.mean([f[4] for f in figures]):.0f} |")
