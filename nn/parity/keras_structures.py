#!/usr/bin/env python3
"""Models whose structure is out of the ordinary, in Keras 3 and in Keras 2 (tf_keras), and what Keras makes of them.

    python keras_structures.py DIR

writes for each model NAME: its files, NAME.npz (inputs x0, x1, ... and predictions y0, y1, ...) and an entry in structures.json: name, file, and
where needed weights (the file of weights of an architecture in JSON) and input_shape (of inputs of any size).
"""
import json
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # computes channels first; the default on processors with AVX-512 only

import keras
import numpy as np
import tf_keras

FOLDER = sys.argv[1]
ENTRIES = []
RNG = np.random.default_rng(1)


def randomize(model):
    """Sets every weight, also those that begin as 0 or 1, so that each has an effect."""
    model.set_weights([RNG.uniform(0.2, 0.9, w.shape).astype("f4") if w.ndim == 1 else RNG.normal(0, 0.4, w.shape).astype("f4") for w in model.get_weights()])


def write(name, model, shapes, extension, weights=None, input_shape=None):
    randomize(model)
    xs = [RNG.normal(size=(3, *s)).astype("f4") for s in shapes]
    ys = model.predict(xs if len(xs) > 1 else xs[0], verbose=0)
    ys = ys if isinstance(ys, (list, tuple)) else [ys]
    arrays = {"x%d" % i: x for i, x in enumerate(xs)}
    arrays.update({"y%d" % i: y for i, y in enumerate(ys)})
    np.savez(os.path.join(FOLDER, name + ".npz"), **arrays)
    entry = dict(name=name, file=name + extension, inputs=len(xs), outputs=len(ys))
    if weights:
        entry["file"], entry["weights"] = name + ".json", name + weights
        with open(os.path.join(FOLDER, entry["file"]), "w") as f:
            f.write(model.to_json())
        model.save_weights(os.path.join(FOLDER, entry["weights"]))
    else:
        model.save(os.path.join(FOLDER, entry["file"]))
    if input_shape:
        entry["input_shape"] = input_shape
    ENTRIES.append(entry)


def channels_first(k):
    """A network with the channels first, in which each layer that has an order of axes occurs."""
    l, cf = k.layers, dict(data_format="channels_first")
    i = l.Input((2, 9, 10, 11))
    x = l.Conv3D(4, 3, padding="same", activation="relu", **cf)(i)
    x = l.BatchNormalization(axis=1)(x)
    y = l.Conv3D(4, 3, padding="same", strides=1, **cf)(x)
    y = l.Activation("elu")(y)
    x = l.Add()([x, y])
    x = l.Concatenate(axis=1)([x, y])
    x = l.ZeroPadding3D(((1, 0), (0, 1), (1, 1)), **cf)(x)
    x = l.Cropping3D(((0, 1), (1, 0), (2, 1)), **cf)(x)
    x = l.SpatialDropout3D(0.2, **cf)(x)
    x = l.MaxPooling3D(2, **cf)(x)
    x = l.UpSampling3D(2, **cf)(x)
    x = l.Concatenate(axis=-1)([x, x])
    x = l.AveragePooling3D(2, padding="same", **cf)(x)
    x = l.Conv3DTranspose(3, 2, strides=2, **cf)(x)
    x = l.LayerNormalization(axis=1)(x)
    x = l.Softmax(axis=1)(x)
    x = l.LeakyReLU()(x)
    flat = l.Flatten(**cf)(x)
    memory = l.Flatten()(x)
    pooled = l.GlobalAveragePooling3D(**cf)(x)
    return k.Model(i, [l.Dense(3)(flat), l.Dense(3)(memory), pooled, x])


def nested(k, frozen):
    """A model that uses a sequential model, a functional model with two outputs and one within that, some of them twice."""
    l = k.layers
    i = l.Input((6, 6, 6, 2))
    inner = k.Sequential([l.Input((6, 6, 6, 2)), l.Conv3D(3, 3, padding="same", name="conv"), l.BatchNormalization(name="norm"), l.ReLU()], name="inner")
    a = l.Input((6, 6, 6, 3))
    b = l.Conv3D(2, 1, name="project")(a)
    b = l.BatchNormalization(name="norm2")(b)
    two = k.Model(a, [b, l.GlobalMaxPooling3D()(a)], name="two")
    outer_in = l.Input((6, 6, 6, 2))
    first, second = two(inner(outer_in))
    outer = k.Model(outer_in, [second, l.Conv3D(2, 1, name="last")(first)], name="outer")
    if frozen:
        outer.trainable = False
    pooled, volume = outer(i)
    pooled_again, _ = outer(volume)
    x = l.Concatenate()([pooled, pooled_again, l.Flatten()(l.Conv3D(1, 1, name="conv")(volume))])
    return k.Model(i, l.Dense(4, activation="softmax")(x))


def siamese(k):
    l = k.layers
    encoder = k.Sequential([l.Input((5, 5, 5, 1)), l.Conv3D(3, 3, activation="relu"), l.Flatten(), l.Dense(4)])
    a, b = l.Input((5, 5, 5, 1)), l.Input((5, 5, 5, 1))
    return k.Model([a, b], l.Dense(1, activation="sigmoid")(l.Subtract()([encoder(a), encoder(b)])))


def chain(k):
    l = k.layers
    scale = k.Sequential([l.Input((5, 5, 5, 1)), l.Rescaling(0.5)])
    return k.Sequential([l.Input((5, 5, 5, 1)), scale, k.Sequential([l.Conv3D(2, 2), l.Flatten()]), l.Dense(3)])


def any_size(k):
    l = k.layers
    i = l.Input((None, None, None, 1))
    x = l.Conv3D(3, 3, padding="same", activation="hard_sigmoid")(i)
    x = l.BatchNormalization()(x, training=False)
    return k.Model(i, [l.Conv3D(1, 1)(x), l.GlobalAveragePooling3D()(x)])


for kind, k, extension, weights in (
    ("keras3", keras, ".keras", ".weights.h5"),
    ("keras3_h5", keras, ".h5", ".weights.h5"),
    ("keras2", tf_keras, ".h5", "_weights.h5"),
    ("keras2_keras", tf_keras, ".keras", ".weights.h5"),
):
    if k is keras:  # TensorFlow computes channels first on GPUs only, and Keras 3 hides that
        write(kind + "_channels_first", channels_first(k), [(2, 9, 10, 11)], extension)
    write(kind + "_nested", nested(k, False), [(6, 6, 6, 2)], extension)
    write(kind + "_nested_frozen", nested(k, True), [(6, 6, 6, 2)], extension)
    write(kind + "_siamese", siamese(k), [(5, 5, 5, 1)] * 2, extension)
    write(kind + "_chain", chain(k), [(5, 5, 5, 1)], extension)
    write(kind + "_any_size", any_size(k), [(6, 7, 8, 1)], extension, input_shape=[6, 7, 8])
    write(kind + "_json", nested(k, False), [(6, 6, 6, 2)], extension, weights=weights)
    write(kind + "_json_any_size", any_size(k), [(6, 7, 8, 1)], extension, weights=weights, input_shape=[6, 7, 8])

with open(os.path.join(FOLDER, "structures.json"), "w") as f:
    json.dump(ENTRIES, f)
