"""The inputs that the Go tests use too: x' = 1664525 x + 1013904223 mod 2^32 from 1, the top 8 bits of each, over 255."""
import numpy as np


def inputs(model, samples=3):
    x, out = 1, []
    for t in model.inputs:
        v = np.empty(samples * int(np.prod(t.shape[1:])), np.float32)
        for i in range(v.size):
            x = (1664525 * x + 1013904223) & 0xFFFFFFFF
            v[i] = np.float32(x >> 24) / np.float32(255)
        out.append(v.reshape((samples,) + tuple(t.shape[1:])))
    return out if len(out) > 1 else out[0]


def predict(model):
    y = model.predict(inputs(model), verbose=0)
    return [v.ravel().tolist() for v in (y if isinstance(y, list) else [y])]
