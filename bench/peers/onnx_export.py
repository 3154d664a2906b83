"""Writes a Keras model of the comparison as ONNX: NCDHW, the same weights. Only what models.py uses."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def export(model, path):
    nodes, weights, names = [], [], {}

    def weight(name, value):
        weights.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype=np.float32 if value.dtype != np.int64 else np.int64), name))
        return name

    def add(op, inputs, output, **attrs):
        nodes.append(helper.make_node(op, inputs, [output], **attrs))
        return output

    def activation(kind, x, name):
        return {"linear": lambda: x, "relu": lambda: add("Relu", [x], name), "softmax": lambda: add("Softmax", [x], name, axis=-1)}[kind]()

    def apply(layer, ins):
        kind, name, out = type(layer).__name__, layer.name, layer.name + "_out"
        if kind == "InputLayer":
            return "input"
        if kind == "Dropout":
            return ins[0]
        if kind == "Conv3D":
            w = layer.get_weights()
            args = [ins[0], weight(name + "_w", w[0].transpose(4, 3, 0, 1, 2))] + ([weight(name + "_b", w[1])] if len(w) > 1 else [])
            pads = dict(auto_pad="SAME_UPPER") if layer.padding == "same" else {}
            y = add("Conv", args, out, strides=list(layer.strides), kernel_shape=list(layer.kernel_size), **pads)
            return activation(layer.activation.__name__, y, out + "_act")
        if kind == "MaxPooling3D":
            return add("MaxPool", ins, out, kernel_shape=list(layer.pool_size), strides=list(layer.strides))
        if kind == "BatchNormalization":
            gamma, beta, mean, var = (weight(f"{name}_{i}", v) for i, v in enumerate(layer.get_weights()))
            return add("BatchNormalization", [ins[0], gamma, beta, mean, var], out, epsilon=layer.epsilon)
        if kind == "LeakyReLU":
            return add("LeakyRelu", ins, out, alpha=float(layer.negative_slope))
        if kind == "ReLU":
            return add("Relu", ins, out)
        if kind == "Add":
            return add("Add", ins, out)
        if kind == "GlobalAveragePooling3D":
            return add("Flatten", [add("GlobalAveragePool", ins, out + "_g")], out)
        if kind == "Flatten":  # Keras flattens channels last
            if len(layer.input.shape) == 2:
                return ins[0]
            return add("Flatten", [add("Transpose", ins, out + "_t", perm=[0, 2, 3, 4, 1])], out)
        if kind == "Dense":
            w = layer.get_weights()
            y = add("Gemm", [ins[0], weight(name + "_w", w[0]), weight(name + "_b", w[1])], out)
            return activation(layer.activation.__name__, y, out + "_act")
        raise ValueError(f"no ONNX mapping for {kind} ({name})")

    # Sequential models are chains; functional ones name their inbound tensors.
    order = model.layers if type(model).__name__ != "Sequential" else None
    if order is None:
        x = "input"
        for layer in model.layers:
            x = apply(layer, [x])
    else:
        for layer in order:
            inbound = layer._inbound_nodes[0].input_tensors
            names[layer.name] = x = apply(layer, [names[t._keras_history.operation.name] for t in inbound])

    _, *dims, channels = model.input_shape
    out_rank = len(model.output_shape)
    graph = helper.make_graph(nodes, model.name, [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", channels, *dims])],
                              [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["n"] + [None] * (out_rank - 1))], weights)
    onnx_model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    onnx_model.ir_version = 9
    onnx.checker.check_model(onnx_model)
    onnx.save(onnx_model, path)
