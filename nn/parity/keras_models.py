#!/usr/bin/env python3
"""Random Keras models for the parity test, and what Keras makes of them.

    KERAS_BACKEND=tensorflow python keras_models.py make DIR MODELS SEED
    KERAS_BACKEND=tensorflow python keras_models.py check DIR

"make" writes for each model NNN: NNN.keras or NNN.h5, NNN.weights.h5, NNN.npz (inputs, targets, predictions, loss, gradients, weights after STEPS steps of
Adam) and an entry in manifest.json. "check" loads each back_NNN.keras and back_NNN.h5 that the Go side has written, and writes back_NNN.npz: their
predictions on the same inputs.
"""
import json
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
import warnings

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from keras import constraints, initializers, layers, regularizers

warnings.filterwarnings("ignore")
logging.set_verbosity("error")
tf.get_logger().setLevel("ERROR")

# Adam makes a full step of any gradient above its epsilon, and there are gradients that are nothing but rounding: of a bias before a normalization.
BATCH, STEPS, RATE, EPSILON = 4, 20, 2e-3, 1e-3
LARGEST = 1500  # numbers in an activation
ACTIVATIONS = (
    "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "softsign", "squareplus", "sparse_plus", "sigmoid",
    "hard_sigmoid", "log_sigmoid", "sparse_sigmoid", "tanh", "hard_tanh", "tanh_shrink", "hard_silu", "soft_shrink", "softmax", "log_softmax", "linear",
)


class Maker:
    """Makes one random model."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.used = {}  # class and options of every layer, by its name
        self.noisy = False  # whether a layer draws random numbers in training
        self.sequential = self.chance(0.3)
        self.stack = []

    def pick(self, *choices):
        return choices[self.rng.integers(len(choices))]

    def chance(self, p):
        return self.rng.random() < p

    def three(self, *choices):
        return tuple(self.pick(*choices) for _ in range(3))

    # Options of weights.

    def weight(self, name, rank):
        options = {}
        if self.chance(0.3):
            made = [
                initializers.RandomNormal(stddev=0.2), initializers.RandomUniform(-0.3, 0.4), initializers.TruncatedNormal(stddev=0.3),
                initializers.Constant(0.1), initializers.VarianceScaling(0.7, "fan_avg", "uniform"), initializers.VarianceScaling(),
                "zeros", "ones", "he_normal", "he_uniform", "lecun_normal", "lecun_uniform", "glorot_normal", "glorot_uniform",
            ]
            if rank > 1:
                made.append(initializers.Orthogonal(1.2))
            options[name + "_initializer"] = self.pick(*made)
        if self.chance(0.2):
            options[name + "_regularizer"] = self.pick(regularizers.L1(0.003), regularizers.L2(0.01), regularizers.L1L2(0.002, 0.01), "l2", "l1_l2")
        if self.chance(0.2):
            made = [constraints.MaxNorm(0.8), constraints.NonNeg(), constraints.UnitNorm(), constraints.MinMaxNorm(0.2, 0.9, rate=0.6)]
            if rank > 1:
                made.append(constraints.MaxNorm(0.7, axis=list(range(rank - 1))))
                made.append(constraints.UnitNorm(axis=-1))
            options[name + "_constraint"] = self.pick(*made)
        return options

    def weights(self, *names, ranks):
        options = {}
        for name, rank in zip(names, ranks):
            options.update(self.weight(name, rank))
        return options

    def some(self, **options):
        """A random choice of options."""
        return {k: v for k, v in options.items() if self.chance(0.5)}

    def activity(self):
        if self.chance(0.1):
            return {"activity_regularizer": self.pick(regularizers.L1(0.003), regularizers.L2(0.01), regularizers.L1L2(0.002, 0.004))}
        return {}

    # Layers, each from the shape that it reads.

    def layer(self, shape):
        choices = [self.batchnorm, self.layernorm, self.groupnorm, self.dense, self.activation, self.relu, self.leaky, self.elu, self.prelu,
                   self.softmax, self.rescaling, self.reshape, self.dropout, self.identity]
        if len(shape) == 4:
            choices += 2 * [self.conv, self.conv, self.conv, self.transpose, self.pool, self.pool, self.zeropad, self.crop, self.upsample, self.permute]
            choices += [self.spatial_dropout]
        elif len(shape) > 1:
            choices += [self.permute]
        return self.pick(*choices)(shape)

    def conv(self, shape):
        groups = self.pick(*[g for g in (1, 1, 1, 2, 3, shape[3]) if shape[3] % g == 0])
        options = dict(filters=groups * self.pick(1, 2, 3), kernel_size=self.three(1, 2, 3), groups=groups)
        options.update(self.some(padding=self.pick("valid", "same"), activation=self.pick(*ACTIVATIONS), use_bias=self.chance(0.5)))
        options.update([lambda: {}, lambda: dict(strides=self.three(1, 2, 3)), lambda: dict(dilation_rate=self.three(1, 2))][self.rng.integers(3)]())
        return "Conv3D", options | self.weights("kernel", "bias", ranks=(5, 1)) | self.activity()

    def transpose(self, shape):
        options = dict(filters=self.pick(1, 2, 3), kernel_size=self.three(1, 2, 3))
        options.update(self.some(padding=self.pick("valid", "same"), activation=self.pick(*ACTIVATIONS), use_bias=self.chance(0.5)))
        if self.chance(0.3):
            options["dilation_rate"] = self.three(1, 2)
            return "Conv3DTranspose", options | self.weights("kernel", "bias", ranks=(5, 1)) | self.activity()
        options["strides"] = strides = self.three(1, 1, 2, 3)
        if self.chance(0.3):
            options["output_padding"] = tuple(int(self.rng.integers(s)) for s in strides)
        return "Conv3DTranspose", options | self.weights("kernel", "bias", ranks=(5, 1)) | self.activity()

    def pool(self, shape):
        options = dict(pool_size=self.pick(2, self.three(1, 2, 3))) | self.some(strides=self.three(1, 2), padding=self.pick("valid", "same"))
        return self.pick("MaxPooling3D", "AveragePooling3D"), options

    def batchnorm(self, shape):
        options = self.some(axis=self.pick(*range(1, len(shape) + 1)), momentum=0.8, epsilon=0.01)
        options.update(self.some(center=self.chance(0.5), scale=self.chance(0.5)))
        return "BatchNormalization", options | self.weights("gamma", "beta", ranks=(1, 1))

    def layernorm(self, shape):
        axes = sorted(set(int(a) for a in self.rng.integers(1, len(shape) + 1, 2)))
        if shape[axes[-1] - 1] == 1 or shape[-1] == 1:  # one number alone becomes 0, and what normalizes that again divides rounding by nothing
            return self.dense(shape)
        options = self.some(axis=self.pick(axes, axes[-1]), epsilon=0.01, center=self.chance(0.5), scale=self.chance(0.5))
        return "LayerNormalization", options | self.weights("gamma", "beta", ranks=(1, 1))

    def groupnorm(self, shape):
        axis = self.pick(-1, *range(1, len(shape) + 1))
        size = shape[axis - 1 if axis > 0 else -1]
        options = dict(groups=self.pick(*[g for g in (1, 2, 3, -1) if g < 0 or size % g == 0]), axis=axis)
        options.update(self.some(epsilon=0.01, center=self.chance(0.5), scale=self.chance(0.5)))
        return "GroupNormalization", options | self.weights("gamma", "beta", ranks=(1, 1))

    def dense(self, shape):
        options = dict(units=self.pick(1, 2, 3, 5, 8)) | self.some(activation=self.pick(*ACTIVATIONS), use_bias=self.chance(0.5))
        return "Dense", options | self.weights("kernel", "bias", ranks=(2, 1)) | self.activity()

    def activation(self, shape):
        return "Activation", dict(activation=self.pick(*ACTIVATIONS)) | self.activity()

    def relu(self, shape):
        return "ReLU", self.some(max_value=self.pick(0.5, 1.0), negative_slope=self.pick(0.1, 0.3), threshold=self.pick(0.1, 0.2))

    def leaky(self, shape):
        return "LeakyReLU", self.some(negative_slope=self.pick(0.1, 0.5))

    def elu(self, shape):
        return "ELU", self.some(alpha=self.pick(0.3, 2.0))

    def prelu(self, shape):
        axes = sorted(set(int(a) for a in self.rng.integers(1, len(shape) + 1, 2)))
        return "PReLU", self.some(shared_axes=axes) | self.weights("alpha", ranks=(1,))

    def softmax(self, shape):
        axes = sorted(set(int(a) for a in self.rng.integers(1, len(shape) + 1, 2)))
        return "Softmax", self.some(axis=self.pick(axes, axes[0], -1))

    def rescaling(self, shape):
        return "Rescaling", dict(scale=self.pick(0.5, 2.0, [0.5] * shape[-1])) | self.some(offset=self.pick(0.3, -1.0))

    def reshape(self, shape):
        size = int(np.prod(shape))
        first = self.pick(*[d for d in range(1, size + 1) if size % d == 0])
        return "Reshape", dict(target_shape=self.pick((first, -1), (size // first, first), (1, -1, first, 1)))

    def permute(self, shape):
        return "Permute", dict(dims=tuple(int(d) + 1 for d in self.rng.permutation(len(shape))))

    def zeropad(self, shape):
        return "ZeroPadding3D", dict(padding=self.pick(1, (1, 0, 2), ((0, 1), (2, 0), (1, 1))))

    def crop(self, shape):
        return "Cropping3D", dict(cropping=self.pick(1, (1, 0, 1), ((0, 1), (1, 0), (0, 0))))

    def upsample(self, shape):
        return "UpSampling3D", dict(size=self.pick(2, self.three(1, 2, 3)))

    def identity(self, shape):
        return self.pick(("Identity", {}), ("ActivityRegularization", dict(l1=0.002, l2=0.01)))

    def noise(self, options, key):
        if self.chance(0.5):
            options[key] = 0.0  # so that training can be compared
        self.noisy = self.noisy or options[key] > 0
        return options

    def dropout(self, shape):
        if self.chance(0.3):
            return "GaussianNoise", self.noise(dict(stddev=0.2), "stddev")
        noise_shape = (None,) + tuple(self.pick(1, None, d) for d in shape)
        return "Dropout", self.noise(dict(rate=0.3), "rate") | self.some(noise_shape=noise_shape)

    def spatial_dropout(self, shape):
        return "SpatialDropout3D", self.noise(dict(rate=0.3), "rate")

    # The model.

    def apply(self, cls, options, *nodes):
        """Puts a layer on nodes; where Keras refuses, or the result is too large, there is None."""
        frozen = {"trainable": False} if cls in ("Conv3D", "Dense", "BatchNormalization", "PReLU") and self.chance(0.1) else {}
        noisy = self.noisy
        try:
            made = getattr(layers, cls)(**options, **frozen)
            out = made(list(nodes) if len(nodes) > 1 else nodes[0])
        except (ValueError, tf.errors.OpError):
            out = None
        if out is None or None in out.shape[1:] or not 0 < np.prod(out.shape[1:]) <= LARGEST or made.count_params() > 3000:
            self.noisy = noisy
            return None
        self.used[made.name] = cls, options | frozen
        self.stack.append(made)
        return out

    @staticmethod
    def instead(out, node):
        return node if out is None else out

    def extend(self, node):
        """The node with one more layer, or itself."""
        before = self.noisy
        cls, options = self.layer(tuple(node.shape[1:]))
        out = self.apply(cls, options, node)
        if out is None:
            self.noisy = before
            return node
        return out

    def input(self):
        sizes = (self.pick(2, 3, 4, 5, 6, 7), self.pick(2, 3, 4, 5), self.pick(2, 3, 4, 5, 6), self.pick(1, 2, 3, 4))
        return keras.Input(sizes)

    def join(self, nodes, node):
        """Merges the node with others that fit."""
        alike = [n for n in nodes if n is not node and tuple(n.shape) == tuple(node.shape)]
        wide = [n for n in nodes if n is not node and len(n.shape) == len(node.shape) and n.shape[1:-1] == node.shape[1:-1]]
        if len(node.shape) == 5 and self.chance(0.3):  # squeeze and excite
            scale = self.apply(self.pick("GlobalAveragePooling3D", "GlobalMaxPooling3D"), dict(keepdims=True), node)
            return node if scale is None else self.instead(self.apply(self.pick("Multiply", "Add"), {}, node, scale), node)
        if alike and self.chance(0.7):
            cls = self.pick("Add", "Add", "Multiply", "Subtract", "Average", "Maximum", "Minimum")
            others = alike[-2:] if cls != "Subtract" and self.chance(0.3) else alike[-1:]
            return self.instead(self.apply(cls, {}, node, *others), node)
        if wide:
            return self.instead(self.apply("Concatenate", self.some(axis=len(node.shape) - 1), node, self.pick(*wide)), node)
        return node

    def head(self, node):
        if len(node.shape) == 5 and self.chance(0.5):
            cls = self.pick("GlobalAveragePooling3D", "GlobalMaxPooling3D")
            node = self.instead(self.apply(cls, {}, node), node)
        elif len(node.shape) > 2:
            node = self.instead(self.apply("Flatten", {}, node), node)
        if np.prod(node.shape[1:]) > 300:
            return node  # a large end stays without Dense
        options = dict(units=self.pick(2, 3, 4), activation=self.pick("softmax", "softmax", "sigmoid", "linear"))
        return self.instead(self.apply("Dense", options, node), node)

    def model(self):
        length = self.pick(2, 3, 4, 5, 6, 8)
        if self.sequential:
            node = start = self.input()
            for _ in range(length):
                node = self.extend(node)
            self.head(node)
            return keras.Sequential([start] + self.stack)
        inputs = [self.input() for _ in range(self.pick(1, 1, 2, 3))]
        ends = []
        for start in inputs:
            node, seen = start, [start]
            for _ in range(length):
                node = self.join(seen, node) if self.chance(0.3) else self.extend(node)
                seen.append(node)
            ends.append(self.head(node))
        if len(ends) > 1 and self.chance(0.6):
            flat = [self.instead(self.apply("Flatten", {}, e), e) if len(e.shape) > 2 else e for e in ends]
            joined = self.instead(self.apply("Concatenate", {}, *flat), flat[0])
            ends = [self.instead(self.apply("Dense", dict(units=3, activation="softmax"), joined), joined)]
            if self.chance(0.3):
                ends.append(flat[0])
        return keras.Model(inputs, ends if len(ends) > 1 else ends[0])


def short(path):
    return "/".join(path.split("/")[-2:])


def randomize(model, rng):
    for w in model.weights:
        name, n = w.path.split("/")[-1], rng.standard_normal(w.shape)
        if name in ("gamma", "moving_variance"):
            v = 0.5 + np.abs(n)
        elif name == "kernel":
            v = n / np.sqrt(np.prod(w.shape[:-1]))
        else:
            v = 0.3 * n
        w.assign(v.astype(np.float32))


def losses(model, kinds, x, y, training):
    outs = model(x, training=training)
    total = sum(model.losses) if model.losses else 0.0
    for kind, out, want in zip(kinds, outs if isinstance(outs, (list, tuple)) else [outs], y):
        loss = keras.losses.CategoricalCrossentropy() if kind == "categorical_crossentropy" else keras.losses.MeanSquaredError()
        total = total + loss(want, out)
    return total


def ties(model, x):
    """Whether a window of a max pooling has two largest numbers: TensorFlow on a CPU gives each of them the whole gradient, others give it to one."""
    pools = [l for l in model.layers if isinstance(l, layers.MaxPooling3D)]
    if not pools:
        return False
    read = keras.Model(model.inputs, [l.input for l in pools])(x, training=True)
    for pool, v in zip(pools, read if isinstance(read, (list, tuple)) else [read]):
        with tf.GradientTape() as tape:
            tape.watch(v)
            out = pool(v)
        if tf.reduce_sum(tape.gradient(out, v)) > tf.size(out, tf.float32) + 0.5:
            return True
    return False


def gradients(model, kinds, x, y):
    """The loss and its gradients by the trainable variables; zero where the loss does not depend on one."""
    with tf.GradientTape() as tape:
        loss = losses(model, kinds, x, y, True)
    variables = model.trainable_variables
    found = tape.gradient(loss, [v.value for v in variables])
    return loss, [tf.zeros(v.shape) if g is None else g for v, g in zip(variables, found)]


def decided_by_rounding(model, kinds, x, y, rng):
    """Whether changing every number by a millionth changes a gradient by far more: then the last bits decide, as on which of two equal numbers is the
    largest, and no two implementations agree. It leaves the weights changed."""
    _, before = gradients(model, kinds, x, y)
    for w in model.trainable_variables:
        w.assign(w * (1 + 1e-6 * rng.standard_normal(w.shape)).astype(np.float32))
    moved = [(v * (1 + 1e-6 * rng.standard_normal(v.shape))).astype(np.float32) for v in (x if isinstance(x, list) else [x])]
    _, after = gradients(model, kinds, moved if isinstance(x, list) else moved[0], y)
    largest = max(float(tf.reduce_max(tf.abs(g))) for g in before)
    return any(float(tf.reduce_max(tf.abs(a - b))) > 2e-4 * largest for a, b in zip(before, after))


def one(number, seed, folder):
    """Makes a model and all that is compared; None where it does not lend itself to it."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed * 100003 + number)
    m = Maker([seed, number])
    model = m.model()
    if not model.layers:
        return None
    rng = np.random.default_rng([seed, number, 1])
    randomize(model, rng)
    arrays, kinds, ys = {}, [], []
    xs = [rng.standard_normal((BATCH,) + tuple(t.shape[1:])).astype(np.float32) for t in model.inputs]
    x = xs[0] if m.sequential else xs
    outs = model(x, training=False)
    outs = [np.asarray(o) for o in (outs if isinstance(outs, (list, tuple)) else [outs])]
    if not all(np.isfinite(o).all() and np.abs(o).max() < 1e3 for o in outs):
        return None
    for t, out in zip(model.outputs, outs):
        last = t._keras_history.operation
        soft = isinstance(last, layers.Dense) and last.activation is keras.activations.softmax
        kinds.append("categorical_crossentropy" if soft else "mse")
        y = np.eye(out.shape[-1], dtype=np.float32)[rng.integers(0, out.shape[-1], BATCH)] if soft else rng.standard_normal(out.shape).astype(np.float32)
        ys.append(y)
    extension = "h5" if number % 3 == 2 else "keras"
    path = os.path.join(folder, "%03d" % number)
    model.save("%s.%s" % (path, extension))
    model.save_weights(path + ".weights.h5")
    for i, v in enumerate(xs):
        arrays["x%d" % i] = v
    for i, (y, out) in enumerate(zip(ys, outs)):
        arrays["y%d" % i], arrays["predict%d" % i] = y, out
    trained = not m.noisy and bool(model.trainable_variables)
    tied = trained and (ties(model, x) or decided_by_rounding(model, kinds, x, ys, np.random.default_rng([seed, number, 2])))
    trained = trained and not tied
    if trained:
        randomize(model, np.random.default_rng([seed, number, 1]))  # the moving statistics as they were
        variables = model.trainable_variables
        loss, grads = gradients(model, kinds, x, ys)
        arrays["loss"] = np.asarray([loss], np.float32)
        for v, g in zip(variables, grads):
            arrays["grad/" + short(v.path)] = np.asarray(g)
        randomize(model, np.random.default_rng([seed, number, 1]))  # the moving statistics as they were
        optimizer = keras.optimizers.Adam(RATE, epsilon=EPSILON)
        optimizer.build(variables)
        for _ in range(STEPS):
            optimizer.apply(gradients(model, kinds, x, ys)[1], variables)
        for v in model.weights:
            arrays["after/" + short(v.path)] = np.asarray(v)
    if not all(np.isfinite(a).all() for a in arrays.values()):
        return None
    np.savez(path + ".npz", **arrays)
    return dict(number=number, file="%03d.%s" % (number, extension), losses=kinds, trained=trained, tied=tied, sequential=m.sequential,
                inputs=len(xs), outputs=len(outs), layers=[{"class": m.used[l.name][0], "options": labels(m.used[l.name][1])} for l in model.layers if l.name in m.used])


def labels(options):
    """How the table names what options were set."""
    out = []
    for key, v in options.items():
        if isinstance(v, (str, bool)):
            out.append("%s=%s" % (key, v))
        elif hasattr(v, "get_config"):
            out.append("%s=%s" % (key, type(v).__name__))
        else:
            out.append(key)
    return sorted(out)


def make(folder, models, seed):
    manifest, number = [], 0
    while len(manifest) < models:
        try:
            entry = one(number, seed, folder)
        except tf.errors.OpError:  # what Keras lets pass and TensorFlow cannot compute
            entry = None
        if entry:
            manifest.append(entry)
        number += 1
    with open(os.path.join(folder, "manifest.json"), "w") as f:
        json.dump(dict(steps=STEPS, rate=RATE, epsilon=EPSILON, batch=BATCH, keras=keras.__version__, tensorflow=tf.__version__, models=manifest), f)


def check(folder):
    with open(os.path.join(folder, "manifest.json")) as f:
        manifest = json.load(f)
    for entry in manifest["models"]:
        arrays, name = {}, "%03d" % entry["number"]
        with np.load(os.path.join(folder, name + ".npz")) as z:
            xs = [z["x%d" % i] for i in range(entry["inputs"])]
        for extension in ("keras", "h5"):
            path = os.path.join(folder, "back_%s.%s" % (name, extension))
            if not os.path.exists(path):
                continue
            keras.backend.clear_session()
            model = keras.models.load_model(path, compile=False)
            outs = model(xs[0] if entry["sequential"] else xs, training=False)
            for i, out in enumerate(outs if isinstance(outs, (list, tuple)) else [outs]):
                arrays["%s%d" % (extension, i)] = np.asarray(out)
        np.savez(os.path.join(folder, "back_" + name + ".npz"), **arrays)


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        check(sys.argv[2])
