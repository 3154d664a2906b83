"""Makes models with Keras, saves each as NAME.keras, NAME.h5 and NAME.weights.h5 in a folder, and prints their predictions as JSON."""
import json
import os
import sys

import keras
import numpy as np
from keras import layers

from recurrence import predict

rng = np.random.default_rng(5)


def tutorial():
    init = "he_uniform"
    return keras.Sequential([
        layers.Input((16, 16, 16, 3)),
        layers.Conv3D(32, 3, activation="relu", kernel_initializer=init),
        layers.MaxPooling3D(2),
        layers.BatchNormalization(center=True, scale=True),
        layers.Dropout(0.5),
        layers.Conv3D(64, 3, activation="relu", kernel_initializer=init),
        layers.MaxPooling3D(2),
        layers.BatchNormalization(center=True, scale=True),
        layers.Dropout(0.5),
        layers.Flatten(),
        layers.Dense(256, activation="relu", kernel_initializer=init),
        layers.Dense(256, activation="relu", kernel_initializer=init),
        layers.Dense(10, activation="softmax"),
    ])


def options():
    return keras.Sequential([
        layers.Input((7, 6, 8, 2)),
        layers.Conv3D(4, (1, 2, 3), padding="same", activation="elu", kernel_initializer="lecun_normal"),
        layers.AveragePooling3D(2, strides=1, padding="same"),
        layers.BatchNormalization(center=False, epsilon=0.01, momentum=0.9),
        layers.LeakyReLU(negative_slope=0.2),
        layers.Conv3D(4, 2, groups=2, use_bias=False),
        layers.SpatialDropout3D(0.2),
        layers.Conv3D(3, 3, strides=2, padding="same", activation="sigmoid"),
        layers.ReLU(),
        layers.ELU(alpha=0.5),
        layers.Reshape((-1, 6)),
        layers.Flatten(),
        layers.Dense(9, activation="tanh"),
        layers.Activation("gelu"),
        layers.Dense(4),
        layers.Softmax(),
    ], name="options")


def residual():
    inputs = layers.Input((6, 6, 6, 2), name="voxels")
    x = layers.Conv3D(4, 3, padding="same", activation="relu")(inputs)
    y = layers.Conv3D(4, 3, padding="same")(x)
    y = layers.BatchNormalization()(y)
    s = layers.Conv3D(4, 1)(inputs)
    z = layers.Add()([x, y, s])
    z = layers.Activation("relu")(z)
    a, b = layers.GlobalAveragePooling3D()(z), layers.GlobalMaxPooling3D()(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.Concatenate()([a, b])), name="residual")


def two():
    a, b = layers.Input((4, 4, 4, 1), name="a"), layers.Input((4, 4, 4, 2), name="b")
    x, y = layers.Conv3D(3, 2)(b), layers.Conv3D(3, 2)(a)
    z = layers.Flatten()(layers.Add()([x, y]))
    return keras.Model([a, b], [layers.Dense(2, activation="softmax")(z), layers.Dense(1, activation="sigmoid")(z)], name="two")


def siamese():
    """Two inputs through the same layers, one of them in a third place too."""
    a, b = layers.Input((4, 4, 4, 2), name="a"), layers.Input((4, 4, 4, 2), name="b")
    conv, norm, dense = layers.Conv3D(3, 2, activation=layers.LeakyReLU(negative_slope=0.3)), layers.BatchNormalization(), layers.Dense(4, activation="relu")
    left, right = (dense(layers.Flatten()(norm(conv(x)))) for x in (a, b))
    again = layers.Dense(4, name="again")
    joined = layers.Multiply()([left, again(again(right))])
    return keras.Model([a, b], [layers.Dense(2, activation="softmax")(joined), again(left)])


def medical():
    return keras.Sequential([
        layers.Input((20, 20, 20, 1)),
        layers.Conv3D(8, 3, activation="relu"),
        layers.MaxPooling3D(2),
        layers.BatchNormalization(),
        layers.Conv3D(8, 3, dilation_rate=2, activation="silu"),
        layers.GlobalAveragePooling3D(keepdims=True),
        layers.Flatten(),
        layers.Dropout(0.3),
        layers.Dense(1, activation="sigmoid"),
    ])


def late():
    """A Sequential model without an Input layer, its names taken after others of the process."""
    model = keras.Sequential([layers.Conv3D(3, 2, activation="selu"), layers.Flatten(), layers.Dense(3, activation="softplus")])
    model.build((None, 4, 4, 4, 2))
    return model


out = {}
for make in (tutorial, options, residual, two, siamese, medical, late):
    model = make()
    for w in model.weights:
        v = rng.standard_normal(w.shape) * (np.prod(w.shape[:-1]) ** -0.5 if len(w.shape) > 1 else 0.3)
        w.assign(0.5 + np.abs(v) if "variance" in w.path else v)
    model.compile(optimizer="adam", loss="categorical_crossentropy")
    path = os.path.join(sys.argv[1], make.__name__)
    model.save(path + ".keras")
    model.save(path + ".h5")
    model.save_weights(path + ".weights.h5")
    out[make.__name__] = predict(model)
json.dump(out, sys.stdout)
