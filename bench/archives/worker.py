"""The Python way, in a process of its own: h5py, a table of colours, and ONNX Runtime or Keras. Reads a JSON job per line on standard input, answers a JSON line.

usage: worker.py h5py|onnxruntime|keras THREADS
job:    {"path": FILE, "model": FILE without extension, "out": FILE.npy}
answer: {"rows": N, "seconds": S, "cpu": S, "stages": {"read": S, "colours": S, "network": S}}

While the network runs on one block of rows, a thread reads and colours the next. h5py only reads, to float32.
"""
import concurrent.futures
import json
import os
import sys
import time

peer, threads = sys.argv[1], int(sys.argv[2])
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
os.environ.update(OMP_NUM_THREADS=str(threads), TF_NUM_INTRAOP_THREADS=str(threads), TF_NUM_INTEROP_THREADS="1", TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow",
                  CUDA_VISIBLE_DEVICES="")
import h5py  # noqa: E402
import hdf5plugin  # noqa: E402, F401
import numpy as np  # noqa: E402

BATCH = 128
LEAST = 4 * BATCH  # rows of a block


def reader(path, stages):
    """Yields functions that return a block of rows as float32. A block is whole chunks, so that each is unpacked once."""
    with h5py.File(path) as f:
        d = f["X_train"]
        chunk = d.chunks[0] if d.chunks else 1
        step = -(-LEAST // chunk) * chunk
        wide, narrow = np.empty((step, d.shape[1]), d.dtype), [np.empty((step, d.shape[1]), np.float32) for _ in range(2)]
        for i, first in enumerate(range(0, len(d), step)):
            def block(first=first, n=min(step, len(d) - first), to=narrow[i % 2]):
                start = time.perf_counter()
                d.read_direct(wide, np.s_[first : first + n], np.s_[:n])
                np.copyto(to[:n], wide[:n], casting="same_kind")
                stages["read"] += time.perf_counter() - start
                return to[:n]
            yield block


def colours(x, lut, channels_first, stages):
    """The tutorial's volumes: each row from its least to its largest value, through the colour map."""
    start = time.perf_counter()
    least = x.min(axis=1, keepdims=True)
    span = x.max(axis=1, keepdims=True) - least
    scale = np.divide(256, span, out=np.zeros_like(span), where=span > 0)
    index = np.minimum((x - least) * scale, 255).astype(np.uint8)
    if channels_first:
        out = np.empty((len(x), 3, x.shape[1]), np.float32)
        for c in range(3):
            np.take(lut[:, c], index, out=out[:, c], mode="clip")
        out = out.reshape(-1, 3, 16, 16, 16)
    else:
        out = np.take(lut, index, axis=0, mode="clip").reshape(-1, 16, 16, 16, 3)
    stages["colours"] += time.perf_counter() - start
    return out


def network(model):
    if peer == "onnxruntime":
        import onnxruntime as ort
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        session = ort.InferenceSession(model + ".onnx", options, providers=["CPUExecutionProvider"])
        return lambda x: session.run(None, {"input": x})[0]
    import keras
    import tensorflow as tf
    loaded = keras.models.load_model(model + ".keras")
    step = tf.function(lambda v: loaded(v, training=False), input_signature=[tf.TensorSpec((None, 16, 16, 16, 3))])
    return lambda x: step(x).numpy()


networks = {}
if peer != "h5py":
    import matplotlib
    lut = matplotlib.colormaps["Oranges"](np.arange(256))[:, :3].astype(np.float32)

for line in sys.stdin:
    job = json.loads(line)
    stages, rows, results = {"read": 0.0, "colours": 0.0, "network": 0.0}, 0, []
    if peer != "h5py" and job["model"] not in networks:
        networks[job["model"]] = run = network(job["model"])
        run(np.zeros((BATCH, 3, 16, 16, 16) if peer == "onnxruntime" else (BATCH, 16, 16, 16, 3), np.float32))
    begin, used = time.perf_counter(), time.process_time()
    if peer == "h5py":
        rows = sum(len(block()) for block in reader(job["path"], stages))
    else:
        run = networks[job["model"]]
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            def prepare(block):
                return block and pool.submit(lambda: colours(block(), lut, peer == "onnxruntime", stages))
            blocks = reader(job["path"], stages)
            ahead = prepare(next(blocks, None))
            while ahead:
                x, ahead = ahead.result(), prepare(next(blocks, None))
                start = time.perf_counter()
                for i in range(0, len(x), BATCH):
                    scores = run(x[i : i + BATCH])
                    results.append(np.stack([scores.argmax(axis=1), scores.max(axis=1)], 1))
                stages["network"] += time.perf_counter() - start
                rows += len(x)
        np.save(job["out"], np.concatenate(results))
    print(json.dumps({"rows": rows, "seconds": time.perf_counter() - begin, "cpu": time.process_time() - used, "stages": stages}), flush=True)
