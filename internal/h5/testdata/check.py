"""Checks with h5py the file that TestH5py writes."""

import sys

import h5py
import numpy as np


def ramp(n, dtype):
    return (np.arange(n) % 251).astype(dtype)


with h5py.File(sys.argv[1]) as f:
    x = f["X_train"]
    assert x.dtype == "<f8" and x.shape == (20, 512) and x.compression == "gzip" and x.shuffle, x
    assert np.array_equal(x[()], ramp(20 * 512, "f8").reshape(20, 512))
    assert f["y_train"].dtype == "<i8" and np.array_equal(f["y_train"][()], ramp(20, "i8"))
    assert f["5/img"].dtype == "u1" and np.array_equal(f["5/img"][()], ramp(900, "u1").reshape(30, 30))
    assert f["5"].attrs["label"] == 3
    assert f["scalar"].shape == () and f["scalar"][()] == 1.5
    assert f["none"].shape == (0, 3)
    g = f["grow"]
    assert g.shape == (6, 7, 5) and g.maxshape == (None, 7, 5) and g.dtype == "<f4"
    assert np.array_equal(g[4:].ravel(), ramp(70, "f4"))
    a = f.attrs
    assert a["model_config"] == '{"grüße": 1}', a["model_config"]
    assert [n.decode("utf8") for n in a["layer_names"]] == ["conv3d", "dense"]
    assert len(a["weight_names"]) == 0
    assert a["rate"] == 0.25 and a["rate"].dtype == "<f8"
    assert list(a["ints"]) == [1, 2]
