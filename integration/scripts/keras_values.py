"""Trains small networks with Keras on the values that a user may want, and compares them with those of voxelstream.

    keras_values.py make DIR     writes NAME.npz (x, y), NAME.keras (the first weights) and NAME.want.npz for each case
    keras_values.py check DIR    prints NAME, the largest differences of weights, loss and accuracy for each NAME.out.keras
"""
import json
import os
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import matplotlib.cm
import numpy as np

ROWS, SIDE, CLASSES, BATCH, EPOCHS = 40, 6, 3, 8, 10  # 50 steps


def oranges(x):
    """The tutorial's way: each volume is mapped by its own range."""
    rows = [matplotlib.cm.ScalarMappable(cmap="Oranges").to_rgba(row.ravel())[:, :3] for row in x]
    return np.reshape(rows, (len(x), SIDE, SIDE, SIDE, 3)).astype("float32")


def hounsfield(rng, channels):
    return (rng.normal(size=(ROWS, SIDE, SIDE, SIDE, channels)) * 400 - 200).round().astype("float32")


def colours(rng, channels):
    return rng.integers(0, 256, size=(ROWS, SIDE, SIDE, SIDE, channels)).astype("uint8")


def standard(x):
    axes = (1, 2, 3)
    return (x - x.mean(axes, keepdims=True, dtype="float64")) / x.std(axes, keepdims=True, dtype="float64")


# name: data, channels, --values, what Keras gets
CASES = {
    "raw": (hounsfield, 1, "raw", lambda x: x),
    "rgb": (colours, 3, "raw", lambda x: x),
    "many": (hounsfield, 5, "raw", lambda x: x),
    "window": (hounsfield, 1, "window:-1000:400", lambda x: (np.clip(x, -1000, 400) + 1000) / 1400),
    "scaled": (colours, 3, "window:0:255", lambda x: x.astype("float32") / 255),
    "standard": (hounsfield, 2, "standard", standard),
    "fixed": (colours, 3, "standard:110,120,130:60,61,62",
              lambda x: (x - np.array([110, 120, 130])) / np.array([60, 61, 62])),
    "palette": (hounsfield, 1, "palette", oranges),
}


def network(x):
    """A network whose first layer is small enough for raw values."""
    scale = float(np.abs(x).max())
    model = keras.Sequential([
        keras.Input(x.shape[1:]),
        keras.layers.Conv3D(4, 3, activation="relu"),
        keras.layers.MaxPooling3D(2),
        keras.layers.Flatten(),
        keras.layers.Dense(8, activation="relu"),
        keras.layers.Dense(CLASSES, activation="softmax"),
    ])
    first = model.layers[0]
    kernel, bias = first.get_weights()
    first.set_weights([kernel / scale, bias])
    return model


def make(folder):
    flags = {}
    for i, (name, (data, channels, values, scaled)) in enumerate(CASES.items()):
        rng = np.random.default_rng(i)
        keras.utils.set_random_seed(i)
        x, y = data(rng, channels), rng.integers(0, CLASSES, size=ROWS)
        np.savez(os.path.join(folder, name + ".npz"), x=x, y=y)
        x = np.asarray(scaled(x), "float32")
        model = network(x)
        model.save(os.path.join(folder, name + ".keras"))
        model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0)
        loss, accuracy = model.evaluate(x, y, verbose=0)
        np.savez(os.path.join(folder, name + ".want.npz"), *model.get_weights(), loss=loss, accuracy=accuracy)
        flags[name] = values
    with open(os.path.join(folder, "cases.json"), "w") as f:
        json.dump(flags, f)


def check(folder):
    for name in CASES:
        want = np.load(os.path.join(folder, name + ".want.npz"))
        got = keras.models.load_model(os.path.join(folder, name + ".out.keras"), compile=False).get_weights()
        with open(os.path.join(folder, name + ".json")) as f:
            evaluation = json.load(f)
        weights = max(float(np.abs(w - want[f"arr_{i}"]).max()) for i, w in enumerate(got))
        print(name, weights, abs(evaluation["loss"] - want["loss"]), abs(evaluation["accuracy"] - want["accuracy"]))


{"make": make, "check": check}[sys.argv[1]](sys.argv[2])
