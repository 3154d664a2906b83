#!/usr/bin/env python3
"""Makes keras_zoo.json: what Keras says of the zoo's architectures, as bench/peers/models.py has them: parameters, and predictions for weights and
inputs of an integer recurrence, which zoo_test.go makes again.

    KERAS_BACKEND=tensorflow python make.py
"""
import json
import math
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "..", "..", "bench", "peers"))
import keras
import numpy as np

from models import MODELS


def recurrence(n, x=1):
    """x' = 1664525 x + 1013904223 mod 2^32; the top 24 bits of each, over 2^24."""
    out = np.empty(n, np.float32)
    for i in range(n):
        x = (1664525 * x + 1013904223) & 0xFFFFFFFF
        out[i] = np.float32(x >> 8) / np.float32(1 << 24)
    return out


def fill(w):
    u = recurrence(int(np.prod(w.shape)))
    name = w.path.split("/")[-1]
    if name in ("gamma", "moving_variance"):
        v = 0.5 + u
    elif len(w.shape) == 1:
        v = 0.1 * (2 * u - 1)
    else:
        v = math.sqrt(3 / np.prod(w.shape[:-1])) * (2 * u - 1)
    w.assign(v.astype(np.float32).reshape(w.shape))


out = {}
for name, make in MODELS.items():
    keras.backend.clear_session()
    model = make()
    for w in model.weights:
        fill(w)
    shape = tuple(model.input_shape[1:])
    x = recurrence(2 * int(np.prod(shape))).reshape((2,) + shape)
    out[name] = dict(
        input=list(shape), classes=model.output_shape[-1], total=model.count_params(),
        trainable=int(sum(np.prod(w.shape) for w in model.trainable_weights)),
        weights=sorted("/".join(w.path.split("/")[-2:]) for w in model.weights), predict=[float(v) for v in model.predict(x, verbose=0).ravel()],
    )
with open(os.path.join(here, "keras_zoo.json"), "w") as f:
    f.write("{\n" + ",\n".join(json.dumps(n) + ": " + json.dumps(m) for n, m in out.items()) + "\n}\n")
