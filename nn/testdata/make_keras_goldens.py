#!/usr/bin/env python3
"""Makes the golden files that the Go network is compared with, by Keras on TensorFlow.

    pip install keras==3.15.1 tensorflow-cpu==2.21.0
    KERAS_BACKEND=tensorflow python make_keras_goldens.py [SAMPLE.h5]

Each file is an .npz of float32 arrays with one uint8 array "manifest": the JSON that tells what they are.
    keras_layers.npz    every layer with several sets of options: parameters, inputs, outputs, gradients
    keras_weights.npz   what constraints and regularizers make of an array
    keras_network.npz   a small network as the tutorial's: loss, gradients, weights after 1 and 5 steps of Adam
    keras_fit.npz       what fit makes of validation_split, class by class of rows
    keras_summary.txt   the summary of the tutorial's network as Keras prints it
    keras_sample.npz    predictions of SAMPLE.h5, a third-party model, where it is given
"""
import json
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "python"))
import keras
import numpy as np
import tensorflow as tf
import voxelstream_layers
from keras import layers

rng = np.random.default_rng()


def seed(number):
    """Starts the random numbers of one file, so that no file depends on another."""
    global rng
    rng = np.random.default_rng(20190409 + number)


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def save(name, manifest, arrays):
    arrays = dict(arrays, manifest=np.frombuffer(json.dumps(manifest).encode(), np.uint8))
    with open(name, "wb") as f:
        np.savez_compressed(f, **arrays)
    print(name, os.path.getsize(name))


def plain(config):
    """The config as the model files hold it, without dtype policies."""
    return json.loads(json.dumps(keras.saving.serialize_keras_object(config)))


# Class, options, shapes of the inputs (with batch), train.
CASES = [
    ("Conv3D", dict(filters=5, kernel_size=3), [(2, 6, 5, 7, 3)], False),
    ("Conv3D", dict(filters=5, kernel_size=3, activation="relu"), [(2, 6, 5, 7, 3)], False),
    ("Conv3D", dict(filters=4, kernel_size=(1, 2, 3), padding="same"), [(2, 5, 4, 3, 2)], False),
    ("Conv3D", dict(filters=4, kernel_size=3, strides=2, padding="same"), [(2, 6, 5, 4, 2)], False),
    ("Conv3D", dict(filters=4, kernel_size=(2, 3, 4), strides=(1, 2, 3), padding="same"), [(2, 6, 7, 8, 2)], False),
    ("Conv3D", dict(filters=3, kernel_size=3, strides=2, use_bias=False), [(2, 7, 6, 5, 1)], False),
    ("Conv3D", dict(filters=3, kernel_size=2, dilation_rate=2), [(2, 5, 6, 5, 2)], False),
    ("Conv3D", dict(filters=3, kernel_size=3, dilation_rate=(1, 2, 2), padding="same"), [(1, 5, 6, 5, 2)], False),
    ("Conv3D", dict(filters=33, kernel_size=1, activation="tanh"), [(2, 3, 3, 3, 17)], False),
    ("Conv3D", dict(filters=3, kernel_size=2, activation="elu"), [(2, 3, 3, 3, 2)], False),
    ("Dense", dict(units=7, activation="leaky_relu"), [(3, 11)], False),
    ("Activation", dict(activation="gelu"), [(3, 9)], False),
    ("Activation", dict(activation="silu"), [(3, 9)], False),
    ("Activation", dict(activation="selu"), [(3, 9)], False),
    ("Activation", dict(activation="softplus"), [(3, 9)], False),
    ("Activation", dict(activation="leaky_relu"), [(3, 9)], False),
    ("ELU", dict(alpha=0.5), [(3, 9)], False),
    ("SpatialDropout3D", dict(rate=0.5), [(2, 3, 2, 2, 2)], False),
    ("Conv3D", dict(filters=4, kernel_size=2, groups=2), [(2, 4, 4, 4, 6)], False),
    ("MaxPooling3D", dict(), [(2, 6, 7, 5, 3)], False),
    ("MaxPooling3D", dict(pool_size=3, strides=2), [(2, 7, 6, 5, 2)], False),
    ("MaxPooling3D", dict(pool_size=(1, 2, 3), padding="same"), [(2, 4, 5, 7, 2)], False),
    ("MaxPooling3D", dict(pool_size=2, strides=1, padding="same"), [(1, 4, 3, 5, 2)], False),
    ("AveragePooling3D", dict(pool_size=2), [(2, 6, 7, 5, 3)], False),
    ("AveragePooling3D", dict(pool_size=3, strides=2, padding="same"), [(2, 6, 7, 5, 2)], False),
    ("GlobalMaxPooling3D", dict(), [(2, 3, 4, 5, 6)], False),
    ("GlobalAveragePooling3D", dict(), [(2, 3, 4, 5, 6)], False),
    ("GlobalAveragePooling3D", dict(keepdims=True), [(2, 3, 4, 5, 6)], False),
    ("BatchNormalization", dict(), [(4, 3, 2, 3, 5)], False),
    ("BatchNormalization", dict(), [(4, 3, 2, 3, 5)], True),
    ("BatchNormalization", dict(momentum=0.7, epsilon=0.01, center=False), [(4, 3, 2, 3, 5)], True),
    ("BatchNormalization", dict(scale=False), [(8, 6)], True),
    ("Dense", dict(units=7), [(3, 11)], False),
    ("Dense", dict(units=7, activation="relu", use_bias=False), [(3, 11)], False),
    ("Dense", dict(units=10, activation="softmax"), [(4, 6)], False),
    ("Dense", dict(units=10, activation="sigmoid"), [(4, 6)], False),
    ("Flatten", dict(), [(2, 2, 3, 2, 4)], False),
    ("Activation", dict(activation="relu"), [(2, 3, 2, 2, 2)], False),
    ("Activation", dict(activation="softmax"), [(3, 9)], False),
    ("Activation", dict(activation="elu"), [(3, 9)], False),
    ("ReLU", dict(), [(3, 9)], False),
    ("LeakyReLU", dict(negative_slope=0.1), [(3, 9)], False),
    ("Softmax", dict(), [(3, 9)], False),
    ("Dropout", dict(rate=0.5), [(3, 9)], False),
    ("Add", dict(), [(2, 3, 2, 2, 2)] * 3, False),
    ("Multiply", dict(), [(2, 3, 2, 2, 2)] * 2, False),
    ("Concatenate", dict(), [(2, 3, 2, 2, 2), (2, 3, 2, 2, 3)], False),
    ("Rescaling", dict(scale=0.25, offset=-1.5), [(2, 3, 2, 2, 2)], False),
    ("ZeroPadding3D", dict(padding=((1, 2), (0, 1), (2, 0))), [(2, 3, 2, 2, 2)], False),
    ("Reshape", dict(target_shape=(4, 6)), [(2, 2, 3, 2, 2)], False),
    ("Reshape", dict(target_shape=(3, -1, 2)), [(2, 2, 3, 2, 2)], False),
    ("Rescaling", dict(scale=[0.5, 2.0], offset=[1.0, -1.0]), [(2, 3, 2, 2, 2)], False),
    ("ZeroPadding3D", dict(), [(2, 2, 1, 2, 3)], False),
    ("Cropping3D", dict(cropping=((1, 0), (0, 2), (1, 1))), [(2, 4, 5, 6, 2)], False),
    ("Cropping3D", dict(cropping=(0, 1, 2)), [(2, 4, 5, 6, 2)], False),
    ("UpSampling3D", dict(), [(2, 2, 3, 2, 2)], False),
    ("UpSampling3D", dict(size=(1, 3, 2)), [(2, 2, 3, 2, 2)], False),
    ("Permute", dict(dims=(3, 1, 4, 2)), [(2, 2, 3, 4, 5)], False),
    ("LayerNormalization", dict(), [(3, 2, 3, 2, 5)], False),
    ("LayerNormalization", dict(epsilon=0.1, center=False), [(3, 7)], True),
    ("LayerNormalization", dict(scale=False), [(3, 7)], True),
    ("PReLU", dict(), [(3, 2, 2, 3)], False),
    ("PReLU", dict(shared_axes=[1, 2, 3]), [(3, 2, 2, 3, 4)], False),
    ("PReLU", dict(shared_axes=[2]), [(3, 2, 2, 3, 4)], False),
    ("GaussianNoise", dict(stddev=0.5), [(3, 9)], False),
    ("Conv3D", dict(filters=6, kernel_size=(3, 1, 2), groups=3, strides=(2, 1, 1), padding="same", activation="silu"), [(2, 5, 4, 4, 3)], False),
    ("Multiply", dict(), [(2, 3, 2, 2, 2)] * 3, False),
    ("GroupNormalization", dict(groups=2), [(2, 2, 3, 2, 6)], False),
    ("GroupNormalization", dict(groups=3, axis=2, epsilon=0.1, scale=False), [(2, 2, 3, 2)], True),
    ("GroupNormalization", dict(groups=-1, center=False), [(2, 2, 3, 4)], False),
    ("LayerNormalization", dict(axis=[1, 3]), [(2, 2, 3, 4)], True),
    ("LayerNormalization", dict(axis=2), [(2, 2, 3, 4)], True),
    ("BatchNormalization", dict(axis=2), [(4, 2, 3, 2)], True),
    ("BatchNormalization", dict(trainable=False), [(4, 2, 3)], True),
    ("Conv3DTranspose", dict(filters=3, kernel_size=2), [(2, 3, 2, 4, 2)], False),
    ("Conv3DTranspose", dict(filters=3, kernel_size=(2, 3, 1), strides=2, activation="relu"), [(2, 3, 2, 4, 2)], False),
    ("Conv3DTranspose", dict(filters=2, kernel_size=3, strides=2, padding="same", use_bias=False), [(2, 3, 2, 4, 3)], False),
    ("Conv3DTranspose", dict(filters=2, kernel_size=(4, 3, 2), strides=(1, 2, 3), padding="same"), [(2, 4, 3, 2, 3)], False),
    ("Conv3DTranspose", dict(filters=2, kernel_size=3, strides=2, padding="same", output_padding=1), [(2, 3, 2, 4, 2)], False),
    ("Conv3DTranspose", dict(filters=2, kernel_size=3, strides=2, padding="same", output_padding=0), [(2, 3, 2, 4, 2)], False),
    ("Conv3DTranspose", dict(filters=2, kernel_size=2, strides=3, output_padding=(0, 1, 2)), [(2, 3, 2, 2, 2)], False),
    ("Conv3DTranspose", dict(filters=2, kernel_size=2, strides=3), [(2, 2, 2, 2, 2)], False),
    *[("Activation", dict(activation=name), [(3, 40)], False) for name in ("relu6", "celu", "exponential", "log_sigmoid", "mish", "softsign",
      "squareplus", "tanh_shrink", "hard_sigmoid", "hard_silu", "hard_tanh", "sparse_sigmoid", "sparse_plus", "soft_shrink", "hard_shrink",
      "log_softmax", "sigmoid", "tanh", "linear")],
    ("ReLU", dict(negative_slope=0.2), [(3, 20)], False),
    ("Dense", dict(units=4, activation=layers.LeakyReLU(negative_slope=0.05)), [(3, 5)], False),
    ("Conv3D", dict(filters=2, kernel_size=2, activation=layers.ReLU(max_value=0.7)), [(2, 3, 3, 3, 2)], False),
    ("ReLU", dict(negative_slope=0.2, max_value=1.5, threshold=0.4), [(3, 40)], False),
    ("ReLU", dict(max_value=1.0), [(3, 20)], False),
    ("ReLU", dict(threshold=0.5), [(3, 20)], False),
    ("Softmax", dict(axis=1), [(2, 3, 4)], False),
    ("Softmax", dict(axis=[1, 3]), [(2, 3, 2, 4)], False),
    ("Concatenate", dict(axis=1), [(2, 3, 2, 2), (2, 1, 2, 2)], False),
    ("Concatenate", dict(axis=-2), [(2, 3, 2, 2), (2, 3, 1, 2), (2, 3, 4, 2)], False),
    ("Add", dict(), [(2, 3, 2, 2, 3), (2, 1, 1, 1, 3)], False),
    ("Multiply", dict(), [(2, 3, 2, 2, 3), (2, 1, 1, 1, 3)], False),
    ("Multiply", dict(), [(2, 1, 2, 1), (2, 3, 1, 2)], False),
    ("Subtract", dict(), [(2, 3, 2), (2, 3, 2)], False),
    ("Average", dict(), [(2, 3, 2)] * 3, False),
    ("Maximum", dict(), [(2, 3, 4)] * 3, False),
    ("Minimum", dict(), [(2, 3, 4)] * 2, False),
    ("Identity", dict(), [(2, 3, 4)], False),
    ("ActivityRegularization", dict(l1=0.1), [(2, 3, 4)], False),
    ("PrincipalPlane", dict(size=6), [(2, 4, 3, 5, 1)], False),
    ("PrincipalPlane", dict(size=9, scale=2.0, upright=0.2, pose=True, view=7), [(3, 4, 4, 4, 1)], False),
    ("PrincipalPlane", dict(size=7, upright=3.0, pose=True), [(2, 4, 3, 5, 1)], True),
    ("CubeRotation", dict(rotation=7), [(2, 3, 3, 3, 2)], False),
    ("CubeRotation", dict(rotation=18, upright=3.0), [(2, 3, 3, 3, 2)], False),
    ("PrincipalPlane", dict(size=9, pose=True, view=1, angle=-0.3, zoom=1.25), [(3, 4, 4, 4, 1)], False),
    ("PrincipalPlane", dict(size=8, upright=3.0, pose=True, view=6, angle=1.1, zoom=0.8), [(2, 4, 3, 5, 1)], False),
]


def weight_cases():
    """Constraints and penalties: what each makes of an array."""
    seed(4)
    made = [
        ("kernel_constraint", keras.constraints.MaxNorm(1.5)), ("kernel_constraint", keras.constraints.MaxNorm(1.0, axis=[0, 1])),
        ("kernel_constraint", keras.constraints.MaxNorm(1.0, axis=-1)), ("kernel_constraint", keras.constraints.NonNeg()),
        ("kernel_constraint", keras.constraints.UnitNorm(axis=[0, 1])), ("kernel_constraint", keras.constraints.UnitNorm()),
        ("kernel_constraint", keras.constraints.MinMaxNorm(0.5, 1.5, rate=0.7, axis=1)), ("kernel_constraint", keras.constraints.MinMaxNorm()),
        ("kernel_regularizer", keras.regularizers.L1(0.2)), ("kernel_regularizer", keras.regularizers.L2()),
        ("kernel_regularizer", keras.regularizers.L1L2(0.1, 0.3)), ("kernel_regularizer", keras.regularizers.L1L2(l2=0.3)),
    ]
    manifest, arrays = [], {}
    for number, (key, made) in enumerate(made):
        prefix = "%02d/" % number
        kernel = normal(3, 4)
        value = tf.constant(kernel)
        with tf.GradientTape() as tape:
            tape.watch(value)
            after = made(value)
        arrays[prefix + "kernel"], arrays[prefix + "after"] = kernel, np.asarray(after)
        if key == "kernel_regularizer":
            arrays[prefix + "after"] = np.asarray([after])
            arrays[prefix + "grad"] = tape.gradient(after, value).numpy()
        layer = keras.layers.Dense(4, name="tested", **{key: made})
        manifest.append(dict(prefix=prefix, config=plain(layer.get_config()), penalty=key == "kernel_regularizer"))
    save("keras_weights.npz", manifest, arrays)


def layer_cases():
    seed(0)
    manifest, arrays = [], {}
    for number, (cls, options, shapes, train) in enumerate(CASES):
        layer = getattr(voxelstream_layers if hasattr(voxelstream_layers, cls) else layers, cls)(**options, name="tested")
        xs = [tf.constant(normal(*s)) for s in shapes]
        layer.build(shapes[0] if len(shapes) == 1 else shapes)
        for w in layer.weights:
            if w.path.endswith("moving_variance") or w.path.endswith("gamma"):
                w.assign(0.5 + np.abs(normal(*w.shape)))
            else:
                w.assign(0.5 * normal(*w.shape))
        before = [w.numpy() for w in layer.weights]
        names = [w.path.split("/")[-1] for w in layer.weights]
        config = layer.get_config()
        config.pop("dtype", None)
        prefix = "%02d/" % number
        with tf.GradientTape(persistent=True) as tape:
            for x in xs:
                tape.watch(x)
            y = layer(xs[0] if len(xs) == 1 else xs, training=train)
            dy = normal(*y.shape)
            target = tf.reduce_sum(y * dy) + sum(layer.losses)
        dxs = tape.gradient(target, xs)
        dws = tape.gradient(target, [w.value for w in layer.trainable_weights])
        for i, (x, dx) in enumerate(zip(xs, dxs)):
            arrays[prefix + "x%d" % i], arrays[prefix + "dx%d" % i] = x.numpy(), dx.numpy()
        arrays[prefix + "y"], arrays[prefix + "dy"] = y.numpy(), dy
        for name, w in zip(names, before):
            arrays[prefix + name] = w
        for w, dw in zip(layer.trainable_weights, dws):
            arrays[prefix + "d_" + w.path.split("/")[-1]] = dw.numpy()
        if train:
            for w in layer.non_trainable_weights:
                arrays[prefix + "after_" + w.path.split("/")[-1]] = w.numpy()
        manifest.append(dict(prefix=prefix, class_name=cls, config=plain(config), inputs=[list(s) for s in shapes],
                             output=list(y.shape), weights=names, train=train))
    save("keras_layers.npz", manifest, arrays)


def tutorial(side, channels, classes, f1, f2, units, dropout):
    init = "he_uniform"
    drop = [layers.Dropout(dropout)] if dropout else []
    again = [layers.Dropout(dropout)] if dropout else []
    return keras.Sequential([
        layers.Input((side, side, side, channels)),
        layers.Conv3D(f1, 3, activation="relu", kernel_initializer=init),
        layers.MaxPooling3D(2),
        layers.BatchNormalization(center=True, scale=True),
        *drop,
        layers.Conv3D(f2, 3, activation="relu", kernel_initializer=init),
        layers.MaxPooling3D(2),
        layers.BatchNormalization(center=True, scale=True),
        *again,
        layers.Flatten(),
        layers.Dense(units, activation="relu", kernel_initializer=init),
        layers.Dense(units, activation="relu", kernel_initializer=init),
        layers.Dense(classes, activation="softmax"),
    ], name="sequential")


def weights(model):
    return [(l.name + "/" + w.path.split("/")[-1], w) for l in model.layers for w in l.weights]


def network():
    seed(3)  # with seed 1 two positions of a pooling window tie in float32, and the gradient goes to either
    keras.utils.clear_session()
    keras.utils.set_random_seed(7)
    model = tutorial(12, 2, 4, 5, 6, 8, 0)
    for name, w in weights(model):
        if name.endswith("bias"):
            w.assign(0.1 * normal(*w.shape))
    x, labels = normal(6, 12, 12, 12, 2), rng.integers(0, 4, 6)
    y = keras.utils.to_categorical(labels, 4).astype(np.float32)
    arrays = {"x": x, "y": y, "predict": model.predict(x, verbose=0)}
    for name, w in weights(model):
        arrays["before/" + name] = w.numpy()
    optimizer = keras.optimizers.Adam(1e-3)
    loss_function = keras.losses.CategoricalCrossentropy()
    losses = []
    for step in range(1, 6):
        with tf.GradientTape() as tape:
            p = model(x, training=True)
            loss = loss_function(y, p)
        losses.append(float(loss))
        grads = tape.gradient(loss, [w.value for w in model.trainable_weights])
        if step == 1:
            for w, g in zip(model.trainable_weights, grads):
                name = [n for n, v in weights(model) if v is w][0]
                arrays["grad/" + name] = g.numpy()
        optimizer.apply(grads, model.trainable_weights)
        if step in (1, 5):
            for name, w in weights(model):
                arrays["after%d/" % step + name] = w.numpy()
    arrays["predict5"] = model.predict(x, verbose=0)
    manifest = dict(losses=losses, weights=[n for n, _ in weights(model)], config=json.loads(model.to_json()))
    save("keras_network.npz", manifest, arrays)


def fit():
    seed(2)
    keras.utils.clear_session()
    keras.utils.set_random_seed(11)
    rows, features, classes = 23, 5, 3
    x = normal(rows, features)
    y = keras.utils.to_categorical(rng.integers(0, classes, rows), classes).astype(np.float32)
    model = keras.Sequential([layers.Input((features,)), layers.Dense(6, activation="relu"), layers.Dense(classes, activation="softmax")])
    model.compile(optimizer=keras.optimizers.Adam(0.02), loss="categorical_crossentropy", metrics=["accuracy"])
    arrays = {"x": x, "y": y}
    for name, w in weights(model):
        arrays["before/" + name] = w.numpy()
    history = model.fit(x, y, batch_size=4, epochs=3, validation_split=0.3, shuffle=False, verbose=0)
    for name, w in weights(model):
        arrays["after/" + name] = w.numpy()
    # Labels of which rows were held back: fit on x = row number through a model that cannot learn.
    manifest = dict(history=history.history, weights=[n for n, _ in weights(model)], config=json.loads(model.to_json()),
                    batch_size=4, epochs=3, validation_split=0.3, learning_rate=0.02,
                    split={str(n): [int(n * (1 - s)) for s in (0.1, 0.2, 0.25, 0.3, 0.5)] for n in (10, 23, 100, 9999, 10000)})
    save("keras_fit.npz", manifest, arrays)


def summary():
    keras.utils.clear_session()
    model = tutorial(16, 3, 10, 32, 64, 256, 0.5)
    lines = []
    model.summary(print_fn=lambda s, **_: lines.append(s))
    a = keras.Input((8, 8, 8, 2), name="volume")
    left, right = layers.Conv3D(4, 3, padding="same", name="left")(a), layers.Conv3D(4, 1, name="right")(a)
    joined = layers.Concatenate()([left, layers.Add()([left, right])])
    pooled = layers.GlobalAveragePooling3D()(joined)
    outputs = [layers.Dense(3, name="first")(pooled), layers.Dense(2, name="a_name_that_is_longer_than_its_column")(pooled)]
    keras.Model(a, outputs, name="functional").summary(print_fn=lambda s, **_: lines.append(s))
    with open("keras_summary.txt", "w") as f:
        f.write("\n".join(lines).rstrip() + "\n")


def sample(path):
    """The network of a third-party model on random input; its weights stay where they are."""
    model = keras.models.load_model(path, compile=False)
    # 64^3 inputs are large: the golden file holds the scales of an integer recurrence in their place. They keep the sigmoid off its ends.
    scales, shape = SCALES, tuple(model.input_shape[1:])
    x = lcg(len(scales) * int(np.prod(shape))).reshape((len(scales),) + shape)
    x *= np.array(scales, np.float32).reshape((-1,) + (1,) * len(shape))
    pooled = keras.Model(model.inputs, model.get_layer("global_average_pooling3d").output)
    save("keras_sample.npz", dict(shape=list(shape), scales=scales), {"predict": model.predict(x, verbose=0), "pooled": pooled.predict(x, verbose=0)})


SCALES = [1, 0.3, 0.1, 0.01]


def lcg(n):
    """x' = 1664525 x + 1013904223 mod 2^32 from 1; the top 8 bits of each, over 255."""
    out, x = np.empty(n, np.float32), 1
    for i in range(n):
        x = (1664525 * x + 1013904223) & 0xFFFFFFFF
        out[i] = np.float32(x >> 24) / np.float32(255)
    return out


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    layer_cases()
    weight_cases()
    network()
    fit()
    summary()
    if len(sys.argv) > 1:
        sample(sys.argv[1])
