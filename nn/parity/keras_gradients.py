#!/usr/bin/env python3
"""The network of the 3D MNIST tutorial with random weights, and TensorFlow's gradients of its logits.

    KERAS_BACKEND=tensorflow python keras_gradients.py DIR

writes DIR/tutorial.keras, and DIR/tutorial.npz with the inputs x [N,16,16,16,3], the output of the last convolution
(conv) and, for every class k, the derivative of its logit by them (input_k, conv_k).

Rectifiers and maxima have kinks, at which rounding decides which derivative there is. The inputs are drawn until they
keep away from all of them.
"""
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
import keras
import numpy as np
import tensorflow as tf
from keras import layers

N, CLASSES = 2, 10
MARGIN = 1e-5  # far more than the rounding of outputs of size 1


def tutorial():
    def block(filters):
        return [
            layers.Conv3D(filters, 3, activation="relu", kernel_initializer="he_uniform"),
            layers.MaxPooling3D(2),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
        ]

    def dense(units, activation):
        return layers.Dense(units, activation=activation, kernel_initializer="he_uniform")

    return keras.Sequential([
        keras.Input((16, 16, 16, 3)), *block(32), *block(64), layers.Flatten(),
        dense(256, "relu"), dense(256, "relu"), dense(CLASSES, "softmax"),
    ])


def margin(model, x):
    """The distance of an input from the nearest kink."""
    least, values = np.inf, tf.constant(x)
    for layer in model.layers[:-1]:
        if getattr(layer, "activation", None) is not keras.activations.relu:
            values = layer(values, training=False)
            continue
        layer.activation = keras.activations.linear
        before = layer(values).numpy()
        layer.activation = keras.activations.relu
        values = layer(values)
        if isinstance(layer, layers.Conv3D):
            n, d, h, w, c = before.shape
            whole = before[:, : d // 2 * 2, : h // 2 * 2, : w // 2 * 2]
            windows = whole.reshape(n, d // 2, 2, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 5, 7, 2, 4, 6)
            windows = np.sort(windows.reshape(-1, 8))
            gaps = (windows[:, 7] - windows[:, 6])[windows[:, 7] > 0]
            least, before = min(least, gaps.min()), windows[:, 7]
        least = min(least, np.abs(before).min())
    return least


def main(folder):
    rng = np.random.default_rng(11)
    keras.utils.set_random_seed(11)
    model = tutorial()
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights([
                rng.uniform(0.5, 1.5, gamma.shape), rng.normal(0, 0.3, beta.shape),
                rng.normal(0, 0.3, mean.shape), rng.uniform(0.5, 1.5, variance.shape),
            ])
    drawn = []
    while len(drawn) < N:
        one = rng.uniform(0, 1, (1, 16, 16, 16, 3)).astype(np.float32)
        if margin(model, one) > MARGIN:
            drawn.append(one)
    x = np.concatenate(drawn)
    model.save(os.path.join(folder, "tutorial.keras"))
    last = [layer for layer in model.layers if isinstance(layer, layers.Conv3D)][-1]
    results = {"x": x}
    for k in range(CLASSES):
        with tf.GradientTape() as tape:
            values = inputs = tf.constant(x)
            tape.watch(inputs)
            conv = None
            for layer in model.layers[:-1]:
                values = layer(values, training=False)
                if layer is last:
                    conv = values
            end = model.layers[-1]
            logit = tf.reduce_sum((tf.matmul(values, end.kernel) + end.bias)[:, k])
        by_input, by_conv = tape.gradient(logit, [inputs, conv])
        results["conv"] = conv.numpy()
        results[f"input_{k}"], results[f"conv_{k}"] = by_input.numpy(), by_conv.numpy()
    np.savez(os.path.join(folder, "tutorial.npz"), **results)


if __name__ == "__main__":
    main(sys.argv[1])
