"""One peer in a process of its own: reads a JSON job per line on standard input, answers a JSON line. Threads are fixed before the library loads.

usage: worker.py keras|torch|torch-compiled|onnxruntime|openvino THREADS
job:    {"model": FILE, "mode": "train"|"infer", "batch": N, "seconds": S}
answer: {"samples_per_second": X, "latency_ms": {"p50":, "p99":}}
"""
import json
import os
import sys
import time

import numpy as np

peer, threads = sys.argv[1], int(sys.argv[2])
os.environ.update(OMP_NUM_THREADS=str(threads), TF_NUM_INTRAOP_THREADS=str(threads), TF_NUM_INTEROP_THREADS="1", TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow",
                  CUDA_VISIBLE_DEVICES="")


def random(*shape):
    return np.random.default_rng(1).random(shape, dtype=np.float32)


def keras_job(job):
    import keras
    import tensorflow as tf
    model = keras.models.load_model(job["model"] + ".keras")
    x = tf.constant(random(job["batch"], *model.input_shape[1:]))
    if job["mode"] == "train":
        out = model.output_shape[1:]
        if len(out) == 1:
            y = np.eye(out[0], dtype=np.float32)[np.random.default_rng(2).integers(0, out[0], job["batch"])]
        else:
            y = np.zeros((job["batch"], *out), np.float32)
        y = tf.constant(y)
        model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="categorical_crossentropy" if len(out) == 1 else "mse", jit_compile=False)
        return lambda: model.train_on_batch(x, y)
    step = tf.function(lambda v: model(v, training=False))
    return lambda: step(x).numpy()


def torch_job(job, compiled=False):
    import torch
    import torch_models
    torch.set_num_threads(threads)
    model, shape = torch_models.build(os.path.basename(job["model"]))
    # Channels last is the layout of its fast kernels.
    model = model.to(memory_format=torch.channels_last_3d)
    x = torch.from_numpy(random(job["batch"], *shape)).to(memory_format=torch.channels_last_3d)
    run = torch.compile(model) if compiled else model
    if job["mode"] == "infer":
        model.eval()

        def infer():
            with torch.inference_mode():
                return run(x).numpy()
        return infer
    model.train()
    out = model(x)
    if out.dim() == 2:
        y, loss = torch.randint(0, out.shape[1], (job["batch"],)), torch.nn.functional.cross_entropy
    else:
        y, loss = torch.zeros_like(out), torch.nn.functional.mse_loss
    adam = torch.optim.Adam(model.parameters(), 1e-3)

    def train():
        adam.zero_grad()
        value = loss(run(x), y)
        value.backward()
        adam.step()
        return value.item()
    return train


def onnxruntime_job(job):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(job["model"] + ".onnx", options, providers=["CPUExecutionProvider"])
    x = random(job["batch"], *session.get_inputs()[0].shape[1:])
    return lambda: session.run(None, {"input": x})


def openvino_job(job):
    import openvino as ov
    core = ov.Core()
    model = core.read_model(job["model"] + ".onnx")
    x = random(job["batch"], *(d.get_length() for d in list(model.inputs[0].partial_shape)[1:]))
    model.reshape({0: list(x.shape)})
    compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY" if job["batch"] == 1 else "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    return lambda: request.infer({0: x}, share_inputs=True, share_outputs=True)  # without copies, as ours


make = {"keras": keras_job, "torch": torch_job, "torch-compiled": lambda job: torch_job(job, True), "onnxruntime": onnxruntime_job, "openvino": openvino_job}[peer]
prepared = {}
for line in sys.stdin:
    job = json.loads(line)
    key = (job["model"], job["mode"], job["batch"])
    if key not in prepared:
        prepared.clear()  # one model at a time: memory
        prepared[key] = make(job)
        for _ in range(2):
            prepared[key]()
    run, times, end = prepared[key], [], time.perf_counter() + job["seconds"]
    while time.perf_counter() < end or not times:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    times.sort()
    print(json.dumps({"samples_per_second": job["batch"] * len(times) / sum(times),
                      "latency_ms": {"p50": 1e3 * times[len(times) // 2], "p99": 1e3 * times[min(len(times) - 1, len(times) * 99 // 100)]}}), flush=True)
