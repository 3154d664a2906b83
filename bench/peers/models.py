"""The models of the comparison, as Keras builds them. Ours reads the saved .keras file; ONNX Runtime and OpenVINO get the same weights (onnx_export)."""
import os
import sys

import keras
from keras import layers as L

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "python"))
from voxelstream_layers import POSE_SIZE, PrincipalPlane


def tutorial():
    """The tutorial's network: 16^3 RGB, 258,058 parameters."""
    return keras.Sequential([
        keras.Input((16, 16, 16, 3)),
        L.Conv3D(32, 3, activation="relu", kernel_initializer="he_uniform"), L.MaxPooling3D(2), L.BatchNormalization(), L.Dropout(.5),
        L.Conv3D(64, 3, activation="relu", kernel_initializer="he_uniform"), L.MaxPooling3D(2), L.BatchNormalization(), L.Dropout(.5),
        L.Flatten(), L.Dense(256, activation="relu", kernel_initializer="he_uniform"),
        L.Dense(256, activation="relu", kernel_initializer="he_uniform"), L.Dense(10, activation="softmax"),
    ], name="tutorial")


def voxnet():
    """Maturana & Scherer 2015: 32^3 occupancy."""
    return keras.Sequential([
        keras.Input((32, 32, 32, 1)),
        L.Conv3D(32, 5, strides=2), L.LeakyReLU(negative_slope=.1), L.Dropout(.2),
        L.Conv3D(32, 3), L.LeakyReLU(negative_slope=.1), L.MaxPooling3D(2), L.Dropout(.3),
        L.Flatten(), L.Dense(128, activation="relu"), L.Dropout(.4), L.Dense(40, activation="softmax"),
    ], name="voxnet")


def resnet():
    """A small 3D ResNet: 32^3, one channel, three stages of one basic block."""
    def block(x, filters, stride):
        y = L.Conv3D(filters, 3, strides=stride, padding="same", use_bias=False)(x)
        y = L.ReLU()(L.BatchNormalization()(y))
        y = L.BatchNormalization()(L.Conv3D(filters, 3, padding="same", use_bias=False)(y))
        if stride > 1 or x.shape[-1] != filters:
            x = L.BatchNormalization()(L.Conv3D(filters, 1, strides=stride, use_bias=False)(x))
        return L.ReLU()(L.Add()([y, x]))

    x = inputs = keras.Input((32, 32, 32, 1))
    x = L.ReLU()(L.BatchNormalization()(L.Conv3D(16, 3, padding="same", use_bias=False)(x)))
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        x = block(x, filters, stride)
    return keras.Model(inputs, L.Dense(10, activation="softmax")(L.GlobalAveragePooling3D()(x)), name="resnet")


def medical():
    """A 3D CNN for medical volumes: 64^3, one channel."""
    stack = [keras.Input((64, 64, 64, 1))]
    for filters in (16, 32, 64):
        stack += [L.Conv3D(filters, 3, activation="relu", padding="same"), L.MaxPooling3D(2), L.BatchNormalization()]
    stack += [L.GlobalAveragePooling3D(), L.Dense(128, activation="relu"), L.Dropout(.3), L.Dense(2, activation="softmax")]
    return keras.Sequential(stack, name="medical")


def volume():
    """Densities of 16^3: five normalized convolutions."""
    stack = [keras.Input((16, 16, 16, 1))]
    for filters, size, stride in ((32, 6, 2), (32, 3, 1), (96, 3, 2), (96, 3, 1), (128, 3, 2)):
        stack += [L.Conv3D(filters, size, strides=stride, padding="same", use_bias=False, kernel_initializer="he_uniform"), L.BatchNormalization(), L.ReLU()]
    stack += [L.Flatten(), L.Dropout(.1), L.Dense(256, activation="relu", kernel_initializer="he_uniform"), L.Dense(10, activation="softmax")]
    return keras.Sequential(stack, name="volume")


def plane():
    """Densities of 16^3, seen face on: six normalized convolutions of images of 20 pixels a side, and the pose."""
    size = 20
    inputs = keras.Input((16, 16, 16, 1))
    both = PrincipalPlane(size, upright=.2, pose=True, turn=.08, stretch=.05, shift=.03)(inputs)
    x = L.Cropping3D(((0, 0), (0, 1), (0, 0)))(both)
    pose = L.Cropping3D(((0, 0), (size, 0), (0, size - POSE_SIZE)))(both)
    for stage, filters in enumerate((24, 48, 96)):
        if stage:
            x = L.MaxPooling3D((1, 2, 2))(x)
        for _ in range(2):
            x = L.Conv3D(filters, (1, 3, 3), padding="same", use_bias=False, kernel_initializer="he_uniform")(x)
            x = L.ReLU()(L.BatchNormalization()(x))
    x = L.Concatenate()([L.Flatten()(x), L.Flatten()(pose)])
    x = L.Dense(128, activation="relu", kernel_initializer="he_uniform")(x)
    return keras.Model(inputs, L.Dense(10, activation="softmax")(x), name="plane")


def single(side, inp, out, kernel, stride):
    """One Conv3D alone."""
    def build():
        return keras.Sequential([keras.Input((side, side, side, inp)), L.Conv3D(out, kernel, strides=stride, padding="same")], name=f"conv{side}_{inp}_{out}_k{kernel}_s{stride}")
    return build


MODELS = {"tutorial": tutorial, "voxnet": voxnet, "resnet": resnet, "medical": medical, "volume": volume, "plane": plane}
LAYERS = {}
for _side, _inp, _out in ((14, 32, 64), (16, 64, 64), (32, 64, 64)):
    for _kernel in (1, 3, 5):
        for _stride in (1, 2):
            LAYERS[f"conv{_side}_{_inp}_{_out}_k{_kernel}_s{_stride}"] = single(_side, _inp, _out, _kernel, _stride)
