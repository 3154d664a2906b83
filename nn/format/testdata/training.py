"""Trains models with Keras, a few steps each, and saves them with their optimizers as NAME.keras and NAME.h5; or goes on with models that others have saved
with theirs, for some steps more, and prints the weights as JSON.

    training.py make DIR
    training.py resume STEPS FILE...
"""
import json
import os
import sys

import keras
import numpy as np
from keras import layers, optimizers

x = np.linspace(-1, 1, 6 * 4 * 4 * 4 * 2).astype(np.float32).reshape(6, 4, 4, 4, 2) ** 2
y = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]


def residual():
    inputs = layers.Input((4, 4, 4, 2))
    a = layers.Conv3D(3, 2, activation="tanh")(inputs)
    b = layers.Conv3D(3, 3, padding="same")(a)
    c = layers.BatchNormalization()(layers.Conv3D(3, 1)(a))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.Flatten()(layers.Add()([c, b]))))


MADE = {
    "adam": lambda: optimizers.Adam(0.01), "amsgrad": lambda: optimizers.Adam(0.01, amsgrad=True, clipnorm=1.0),
    "adamw": lambda: optimizers.AdamW(0.01, weight_decay=0.02), "sgd": lambda: optimizers.SGD(0.1), "nesterov": lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "rmsprop": lambda: optimizers.RMSprop(0.01, momentum=0.5, centered=True), "average": lambda: optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9),
    "schedule": lambda: optimizers.Adam(optimizers.schedules.ExponentialDecay(0.02, 3, 0.5)),
}


def weights(model):
    return {"/".join(w.path.split("/")[-2:]): np.asarray(w).ravel().tolist() for w in model.weights}


def steps(model, n):
    for _ in range(n):
        model.train_on_batch(x, y)


if sys.argv[1] == "make":
    out = {}
    for name, made in MADE.items():
        keras.backend.clear_session()
        keras.utils.set_random_seed(3)
        model = residual()
        model.compile(made(), "categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
        steps(model, 3)
        model.save(os.path.join(sys.argv[2], name + ".keras"))
        model.save(os.path.join(sys.argv[2], name + ".h5"))
        steps(model, 3)
        out[name] = weights(model)
    print(json.dumps(out))
else:
    out = {}
    for path in sys.argv[3:]:
        keras.backend.clear_session()
        model = keras.models.load_model(path)
        model.run_eagerly = True
        steps(model, int(sys.argv[2]))
        out[path] = weights(model)
    print(json.dumps(out))
