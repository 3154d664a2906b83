"""Writes an archive of datasets of random shapes, types, chunks and filters, and beside it what h5py reads from each, as
float64: layouts.py FILE SEED COUNT"""

import sys

import h5py
import numpy as np

path, rng, count = sys.argv[1], np.random.default_rng(int(sys.argv[2])), int(sys.argv[3])
TYPES = ["f2", "f4", "f8", ">f2", ">f4", ">f8", "f8", "f4", "i1", "u1", "?"] + [o + k + s for o in "<>" for k in "iu" for s in "248"]


def values(shape, dtype, small=False):
    if dtype.kind == "f":
        v = rng.normal(0, 100, shape) * rng.integers(0, 2, shape)
        v[rng.random(shape) < 0.01] = rng.choice([np.nan, np.inf, -np.inf, 1e-300, 65504, -0.0])
        with np.errstate(all="ignore"):
            return v.astype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if small:
        return rng.integers(0, 100, shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype.newbyteorder("="), endpoint=True).astype(dtype)


def filters(dtype):
    kw = rng.choice([{}, {"compression": "gzip"}, {"compression": "gzip", "compression_opts": 9}, {"compression": "lzf"}])
    kw = dict(kw, shuffle=bool(rng.integers(2)), fletcher32=bool(rng.integers(2)))
    if dtype.kind in "iu" and rng.integers(8) == 0:
        return {"scaleoffset": 0}
    return kw


with h5py.File(path, "w", userblock_size=int(rng.choice([0, 512]))) as f:
    for n in range(count):
        dtype = np.dtype(str(rng.choice(TYPES)))
        shape = tuple(int(k) for k in rng.integers(1, [120, 20, 8, 5][: rng.integers(1, 5)]))
        if rng.integers(4) == 0:
            d = f.create_dataset(f"d{n:03}", data=values(shape, dtype))
        else:
            chunks = tuple(int(rng.integers(1, k + 1)) for k in shape)
            kw = filters(dtype)
            small = "scaleoffset" in kw  # HDF5 1.14 cannot read values of its own that need all bits
            fill = values((1,), dtype, small)[0] if rng.integers(2) else None
            d = f.create_dataset(f"d{n:03}", shape, dtype, chunks=chunks, fillvalue=fill, maxshape=tuple(2 * k for k in shape), **kw)
            for first in range(0, shape[0], chunks[0]):  # some chunks are never written
                if rng.integers(5):
                    part = values((min(chunks[0], shape[0] - first), *shape[1:]), dtype, small)
                    d[first : first + chunks[0]] = part
            # A chunk that went through none of the filters. HDF5 always applies scaleoffset when it reads.
            if d.scaleoffset is None and rng.integers(3) == 0:
                whole = values(chunks, dtype)
                d.id.write_direct_chunk((0,) * len(shape), whole.tobytes(), filter_mask=0xFFFFFFFF)
            if rng.integers(4) == 0:  # more rows, never written
                d.resize(shape[0] + int(rng.integers(1, shape[0] + 1)), 0)
    f.flush()
with h5py.File(path) as f:
    for name, d in f.items():
        with np.errstate(all="ignore"):
            d[()].astype("<f8").tofile(f"{path}.{name}")
