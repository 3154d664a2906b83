#!/usr/bin/env python3
"""Makes random ONNX models with their inputs and what ONNX Runtime predicts, and runs those that come back.

usage: onnx_models.py make FOLDER COUNT SEED    writes N.onnx and N.npz (x, y) for each N, and manifest.json
       onnx_models.py check FOLDER              runs back/N.onnx for each N and writes back/N.npz (y)
"""
import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

BATCH = 2


class Maker:
    """One model: nodes are appended to a value of which the shape is known."""

    def __init__(self, rng, opset):
        self.rng, self.opset = rng, opset
        self.nodes, self.weights, self.used = [], [], []
        self.shape = [int(rng.integers(1, 6))] + [int(d) for d in rng.integers(5, 10, 3)]  # without the batch
        self.input, self.value = list(self.shape), "x"

    def pick(self, *choices):
        return choices[self.rng.integers(len(choices))]

    def floats(self, *shape, low=None, high=None):
        a = self.rng.standard_normal(shape) * 0.5 if low is None else self.rng.uniform(low, high, shape)
        return self.constant(a.astype(np.float32))

    def constant(self, a):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(a), name))
        return name

    def whole(self, *values):
        return self.constant(np.array(values, np.int64))

    def add(self, op, *inputs, options=(), **attributes):
        out = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs) or [self.value], [out], name=f"{op}_{len(self.nodes)}", **attributes))
        self.used.append({"operator": op, "options": sorted(set(options) | set(attributes))})
        return out

    def then(self, op, *inputs, **attributes):
        self.value = self.add(op, self.value, *inputs, **attributes)

    # Operators on volumes.

    def conv(self):
        c, size = self.shape[0], [int(k) for k in self.rng.integers(1, 4, 3)]
        groups = c if c > 1 and self.rng.random() < 0.3 else 1
        filters = groups * int(self.rng.integers(1, 4))
        strides, dilations = [int(s) for s in self.rng.integers(1, 3, 3)], [1, 1, 1]
        if self.rng.random() < 0.3:
            dilations = [int(d) for d in self.rng.integers(1, 3, 3)]
        spans = [(k - 1) * d + 1 for k, d in zip(size, dilations)]
        attributes = dict(kernel_shape=size, strides=strides, dilations=dilations, group=groups)
        kind = self.pick("pads", "valid", "SAME_UPPER", "SAME_LOWER")
        if kind[0] == "S" and dilations != [1, 1, 1]:  # ONNX Runtime does not do both
            kind = "pads"
        if kind[0] == "S":
            strides = [min(s, k) for s, k in zip(strides, size)]
            attributes["strides"] = strides
        pads = [0] * 6
        if kind == "pads":
            pads = [int(self.rng.integers(0, s)) for s in spans * 2]
            attributes["pads"] = pads
        elif kind != "valid":
            attributes["auto_pad"] = kind
        out = [(d + pads[a] + pads[a + 3] - spans[a]) // strides[a] + 1 if kind in ("pads", "valid") else -(-d // strides[a])
               for a, d in enumerate(self.shape[1:])]
        if min(out) < 1:
            return
        inputs = [self.floats(filters, c // groups, *size)] + ([self.floats(filters)] if self.rng.random() < 0.7 else [])
        self.then("Conv", *inputs, **attributes)
        self.shape = [filters, *out]

    def transposed(self):
        c, filters = self.shape[0], int(self.rng.integers(1, 4))
        size, strides = [int(k) for k in self.rng.integers(1, 4, 3)], [int(s) for s in self.rng.integers(1, 4, 3)]
        extra = [int(self.rng.integers(0, s)) for s in strides]
        pads = [int(self.rng.integers(0, k)) for k in size * 2]
        out = [(d - 1) * strides[a] + size[a] - pads[a] - pads[a + 3] + extra[a] for a, d in enumerate(self.shape[1:])]
        if min(out) < 1 or max(out) > 20:
            return
        self.then("ConvTranspose", self.floats(c, filters, *size), self.floats(filters), kernel_shape=size, strides=strides, pads=pads, output_padding=extra)
        self.shape = [filters, *out]

    def pool(self):
        op = self.pick("MaxPool", "AveragePool")
        size = [int(k) for k in self.rng.integers(1, 4, 3)]
        strides = [min(int(s), k) for s, k in zip(self.rng.integers(1, 3, 3), size)]  # ONNX Runtime's automatic padding would be below zero
        kind = self.pick("valid", "SAME_UPPER", "counted")
        attributes, pads = dict(kernel_shape=size, strides=strides), [0] * 6
        if kind == "SAME_UPPER":
            attributes["auto_pad"] = kind
        elif kind == "counted" and op == "AveragePool":
            pads = [int(self.rng.integers(0, k)) for k in size * 2]
            attributes.update(pads=pads, count_include_pad=1)
        out = [-(-d // strides[a]) if kind == "SAME_UPPER" else (d + pads[a] + pads[a + 3] - size[a]) // strides[a] + 1 for a, d in enumerate(self.shape[1:])]
        if min(out) < 1:
            return
        self.then(op, **attributes)
        self.shape[1:] = out

    def batchnorm(self):
        c = self.shape[0]
        self.then("BatchNormalization", self.floats(c), self.floats(c), self.floats(c), self.floats(c, low=0.5, high=2), epsilon=float(self.pick(1e-5, 1e-3)))

    def instancenorm(self):
        if np.prod(self.shape[1:]) > 8:  # over few numbers rounding decides
            self.then("InstanceNormalization", self.floats(self.shape[0]), self.floats(self.shape[0]), epsilon=1e-3)

    def activation(self):
        op = self.pick("Relu", "LeakyRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus", "Softsign", "HardSwish", "Clip", "PRelu", "Exp", "Softmax", "Identity",
                       "Dropout", "Celu", "HardSigmoid", "Gelu", "Mish")
        if self.opset < {"Gelu": 20, "Mish": 18, "HardSwish": 14}.get(op, 0):
            op = "Relu"
        attributes = {"LeakyRelu": dict(alpha=0.1), "Elu": dict(alpha=0.7), "HardSigmoid": dict(alpha=1 / 6), "Softmax": dict(axis=1)}.get(op, {})
        inputs = []
        if op == "Clip":
            inputs = [self.constant(np.float32(0)), self.constant(np.float32(self.pick(1, 6)))]
        if op == "PRelu":
            inputs = [self.floats(self.shape[0], *[1] * (len(self.shape) - 1))]
        if op == "Exp":
            self.then("Tanh")  # bounded
        self.then(op, *inputs, **attributes)

    def arithmetic(self):
        op, c = self.pick("Add", "Sub", "Mul", "Div"), self.shape[0]
        shape = self.pick((), (c,) + (1,) * (len(self.shape) - 1), (1, c) + (1,) * (len(self.shape) - 1))
        self.then(op, self.floats(*shape, low=0.5, high=2))

    def branch(self):
        """Two ways of one shape, put together."""
        start, c = self.value, self.shape[0]
        left = self.add("Conv", start, self.floats(c, c, 1, 1, 1), kernel_shape=[1, 1, 1])
        op = self.pick("Add", "Mul", "Sub", "Concat", "Max", "Min", "Mean")
        if op == "Concat":
            axis = int(self.rng.integers(1, 5))
            self.value = self.add(op, left, start, axis=axis)
            self.shape[axis - 1] *= 2
        else:
            self.value = self.add(op, left, start)

    def pad(self):
        pads = [0, 0, *(int(p) for p in self.rng.integers(0, 3, 3)), 0, 0, *(int(p) for p in self.rng.integers(0, 3, 3))]
        self.then("Pad", self.whole(*pads))
        self.shape[1:] = [d + pads[a + 2] + pads[a + 7] for a, d in enumerate(self.shape[1:])]

    def crop(self):
        ends = [int(self.rng.integers(max(1, d - 2), d + 1)) for d in self.shape[1:]]
        starts = [int(self.rng.integers(0, min(2, e))) for e in ends]
        self.then("Slice", self.whole(*starts), self.whole(*ends), self.whole(2, 3, 4))
        self.shape[1:] = [e - s for s, e in zip(starts, ends)]

    def resize(self):
        if np.prod(self.shape) > 2000:
            return
        factors = [1, 1, *(int(f) for f in self.rng.integers(1, 3, 3))]
        self.then("Resize", "", self.constant(np.array(factors, np.float32)), mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
        self.shape[1:] = [d * f for d, f in zip(self.shape[1:], factors[2:])]

    def transpose(self):
        order = [int(a) for a in self.rng.permutation(4)]
        self.then("Transpose", perm=[0, *(a + 1 for a in order)])
        self.shape = [self.shape[a] for a in order]

    # From a volume to vectors, and what follows.

    def vector(self):
        how = self.pick("Flatten", "Reshape", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "view")
        if how == "Flatten":
            self.then("Flatten", axis=1)
        elif how == "Reshape":
            self.then("Reshape", self.whole(0, -1))
        elif how == "ReduceMean":
            if self.opset < 18:
                self.then("ReduceMean", axes=[2, 3, 4], keepdims=0)
            else:
                self.then("ReduceMean", self.whole(2, 3, 4), keepdims=0)
        elif how == "view":  # as PyTorch exports x.view(x.size(0), -1)
            size = self.add("Gather", self.add("Shape", self.value), self.constant(np.array(0, np.int64)), axis=0)
            self.then("Reshape", self.add("Concat", self.add("Unsqueeze", size, self.whole(0)), self.whole(-1), axis=0))
        else:
            self.then(how)
            if self.rng.random() < 0.5:
                self.then("Flatten", axis=1)
            else:
                self.then("Squeeze", self.whole(2, 3, 4))
        self.shape = [self.shape[0]] if how in ("GlobalAveragePool", "GlobalMaxPool", "ReduceMean") else [int(np.prod(self.shape))]

    def dense(self):
        n, units = self.shape[0], int(self.rng.integers(2, 8))
        kind = self.pick("Gemm", "GemmT", "MatMul", "MatMulAdd")
        if kind == "Gemm":
            self.then("Gemm", self.floats(n, units), self.floats(units), alpha=0.5, beta=2.0)
        elif kind == "GemmT":
            self.then("Gemm", self.floats(units, n), self.floats(units), transB=1)
        else:
            self.then("MatMul", self.floats(n, units))
            if kind == "MatMulAdd":
                self.then("Add", self.floats(units))
        self.shape = [units]

    def model(self):
        for _ in range(int(self.rng.integers(1, 6))):
            self.pick(self.conv, self.conv, self.conv, self.pool, self.batchnorm, self.activation, self.activation, self.arithmetic, self.branch, self.pad, self.crop,
                      self.resize, self.transposed, self.transpose, self.instancenorm)()
        if self.rng.random() < 0.7:
            self.vector()
            for _ in range(int(self.rng.integers(1, 3))):
                self.dense()
                self.activation()
        if not self.nodes:
            self.activation()
        value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
        graph = helper.make_graph(self.nodes, "random", [value("x", self.input)], [value(self.value, self.shape)], self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)


def run(path, x):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def make(folder, count, seed):
    entries = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        maker = Maker(rng, int(rng.choice([13, 14, 15, 17, 18, 20, 21])))
        model = maker.model()
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, folder / f"{number}.onnx")
        x = rng.standard_normal((BATCH, *maker.input)).astype(np.float32)
        np.savez(folder / f"{number}.npz", x=x, y=run(folder / f"{number}.onnx", x))
        entries.append({"number": number, "opset": maker.opset, "nodes": maker.used})
    (folder / "manifest.json").write_text(json.dumps({"onnx": onnx.__version__, "runtime": onnxruntime.__version__, "batch": BATCH, "models": entries}))


def check(folder):
    for path in sorted((folder / "back").glob("*.onnx")):
        onnx.checker.check_model(onnx.load(path), full_check=True)
        np.savez(path.with_suffix(".npz"), y=run(path, np.load(folder / f"{path.stem}.npz")["x"]))


if sys.argv[1] == "make":
    make(pathlib.Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
else:
    check(pathlib.Path(sys.argv[2]))
