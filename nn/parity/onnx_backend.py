"""Writes the node tests of the onnx package as files that TestONNXBackend reads.

Usage: onnx_backend.py FOLDER

For each test: NAME.onnx, as it is; NAME.constant.onnx, in which the inputs after the first are constants, as in the
files of exporters; NAME.folded.onnx, in which all are and an input that nobody reads is added; and NAME.npz with inputs x0, x1 ... and outputs y0, y1 ... as float32. manifest.json lists them.
Tests of strings, sequences, optional values, complex numbers and numbers of less than 8 bits, or of 8 that are not
integers, have no files.
"""

import json
import os
import sys
import warnings

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

warnings.filterwarnings("ignore")
folder = sys.argv[1]
tests = []
T = onnx.TensorProto
integers = {T.UINT8, T.INT8, T.UINT16, T.INT16, T.INT32, T.INT64, T.BOOL, T.UINT32, T.UINT64}
# How far apart results may be: of float16 and bfloat16 the last place, since here all is computed in float32.
floats = {T.FLOAT: 0, T.DOUBLE: 0, T.FLOAT16: 2e-3, T.BFLOAT16: 2e-2}


def array(value):
    """Returns an array of float32."""
    if isinstance(value, onnx.TensorProto):
        value = numpy_helper.to_array(value)
    return np.ascontiguousarray(np.atleast_1d(np.asarray(value).astype(np.float32)))


def element_types(model):
    """Returns the element types of all inputs and outputs; None for what is no array."""
    for value in list(model.graph.input) + list(model.graph.output):
        yield value.type.tensor_type.elem_type if value.type.HasField("tensor_type") else None


for case in collect_testcases():
    model = case.model
    types = set(element_types(model))
    entry = {
        "name": case.name,
        "operators": sorted({n.op_type for n in model.graph.node} | {n.domain for n in model.graph.node} - {"", "ai.onnx"}),
        "rtol": max([case.rtol] + [floats.get(t, 0) for t in types]),
        "atol": max([case.atol] + [floats.get(t, 0) for t in types]),
        "files": types <= integers | set(floats),
    }
    tests.append(entry)
    inputs, outputs = case.data_sets[0]
    names = [i.name for i in model.graph.input]
    if not entry["files"] or len(names) != len(inputs):
        entry["files"] = False
        continue
    onnx.save(model, os.path.join(folder, case.name + ".onnx"))
    constant = onnx.ModelProto()
    constant.CopyFrom(model)
    del constant.graph.input[:]
    if names:
        constant.graph.input.append(model.graph.input[0])
    for name, value in list(zip(names, inputs))[1:]:
        if not isinstance(value, onnx.TensorProto):
            value = numpy_helper.from_array(np.asarray(value), name)
        value.name = name
        constant.graph.initializer.append(value)
    onnx.save(constant, os.path.join(folder, case.name + ".constant.onnx"))
    if names:
        value = inputs[0]
        if not isinstance(value, onnx.TensorProto):
            value = numpy_helper.from_array(np.asarray(value), names[0])
        value.name = names[0]
        constant.graph.initializer.append(value)
        del constant.graph.input[:]
    constant.graph.input.append(onnx.helper.make_tensor_value_info("samples", T.FLOAT, [1, 1]))
    onnx.save(constant, os.path.join(folder, case.name + ".folded.onnx"))
    arrays = {f"x{k}": array(v) for k, v in enumerate(inputs)}
    arrays.update({f"y{k}": array(v) for k, v in enumerate(outputs)})
    np.savez(os.path.join(folder, case.name + ".npz"), **arrays)

with open(os.path.join(folder, "manifest.json"), "w", encoding="utf-8") as f:
    json.dump({"onnx": onnx.__version__, "tests": tests}, f)
