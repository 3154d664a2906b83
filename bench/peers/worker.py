"""One peer in a process of its own: reads a JSON job per line on standard input, answers a JSON line. Threads are fixed before the library loads.

usage: worker.py keras|onnxruntime|openvino THREADS
job:    {"model": FILE, "mode": "train"|"infer", "batch": N, "seconds": S}
answer: {"samples_per_second": X, "latency_ms": {"p50":, "p99":}}
"""
import json
import os
import sys
import time

import numpy as np

peer, threads = sys.argv[1], int(sys.argv[2])
os.environ.update(OMP_NUM_THREADS=str(threads), TF_NUM_INTRAOP_THREADS=str(threads), TF_NUM_INTEROP_THREADS="1", TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow")


def keras_job(job):
    import keras
    import tensorflow as tf
    model = keras.models.load_model(job["model"] + ".keras")
    shape = model.input_shape[1:]
    x = np.random.default_rng(1).random((job["batch"], *shape), dtype=np.float32)
    if job["mode"] == "train":
        classes = model.output_shape[-1]
        y = np.eye(classes, dtype=np.float32)[np.random.default_rng(2).integers(0, classes, job["batch"])]
        model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="categorical_crossentropy", jit_compile=False)
        x, y = tf.constant(x), tf.constant(y)
        return lambda: model.train_on_batch(x, y)
    step = tf.function(lambda v: model(v, training=False))
    x = tf.constant(x)
    return lambda: step(x).numpy()


def channels_first(model_input, batch):
    return np.random.default_rng(1).random((batch, *model_input), dtype=np.float32)


def onnxruntime_job(job):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(job["model"] + ".onnx", options, providers=["CPUExecutionProvider"])
    x = channels_first(session.get_inputs()[0].shape[1:], job["batch"])
    return lambda: session.run(None, {"input": x})


def openvino_job(job):
    import openvino as ov
    core = ov.Core()
    model = core.read_model(job["model"] + ".onnx")
    x = channels_first([d.get_length() for d in list(model.inputs[0].partial_shape)[1:]], job["batch"])
    model.reshape({0: list(x.shape)})
    compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY" if job["batch"] == 1 else "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    return lambda: request.infer({0: x})


make = {"keras": keras_job, "onnxruntime": onnxruntime_job, "openvino": openvino_job}[peer]
prepared = {}
for line in sys.stdin:
    job = json.loads(line)
    key = (job["model"], job["mode"], job["batch"])
    if key not in prepared:
        prepared.clear()  # one model at a time: memory
        prepared[key] = make(job)
        for _ in range(3):
            prepared[key]()
    run, times, end = prepared[key], [], time.perf_counter() + job["seconds"]
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    times.sort()
    print(json.dumps({"samples_per_second": job["batch"] * len(times) / sum(times),
                      "latency_ms": {"p50": 1e3 * times[len(times) // 2], "p99": 1e3 * times[min(len(times) - 1, len(times) * 99 // 100)]}}), flush=True)
