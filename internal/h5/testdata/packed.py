"""Makes packed.h5: the same values with every filter that package filter undoes, and a few that it does not, and links.h5's relatives that need no
other file. Needs h5py and hdf5plugin. Run as: python packed.py"""

import os

import h5py
import hdf5plugin as hp
import numpy as np

os.chdir(os.path.dirname(os.path.abspath(__file__)))

ROWS, COLUMNS = 40, 65
r, c = np.mgrid[:ROWS, :COLUMNS]
values = ((r * 31 + c * c) % 7 * 3 - 4).astype("<f4") / 4

filters = {
    "lzf": dict(compression="lzf"),
    "lzf_shuffle_fletcher32": dict(compression="lzf", shuffle=True, fletcher32=True),
    "lz4": hp.LZ4(),
    "lz4_small": hp.LZ4(nbytes=96),
    "zstd": hp.Zstd(),
    "zstd_shuffle": dict(shuffle=True, **hp.Zstd()),
    "bzip2": hp.BZip2(),
    "bitshuffle": hp.Bitshuffle(cname="none"),
    "bitshuffle_lz4": hp.Bitshuffle(nelems=64, cname="lz4"),
    "bitshuffle_zstd": hp.Bitshuffle(nelems=64, cname="zstd"),
}
for codec in "blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd":
    for shuffle in 0, 1, 2:
        filters[f"blosc_{codec}_{shuffle}"] = hp.Blosc(cname=codec, clevel=5, shuffle=shuffle)

with h5py.File("packed.h5", "w", libver=("v110", "v110")) as f:
    for name, kw in filters.items():
        f.create_dataset("f4/" + name, data=values, chunks=(24, 65), **kw)
    f.create_dataset("cut", data=values.astype(">i2"), chunks=(7, 9), **hp.Zstd())
    d = f.create_dataset("holes", (ROWS, COLUMNS), "<f4", chunks=(10, 65), fillvalue=-2.5, **hp.LZ4())
    d[10:20] = values[10:20]
    f.create_dataset("text", data=np.array([b"ab", b"0123456789", b""] * 3, "S10"), chunks=(4,), compression="lzf")
    points = np.zeros(30, [("x", "<f4"), ("rgb", "u1", (3,)), ("y", ">f8"), ("name", "S3"), ("z", "<i2")])
    points["x"], points["y"], points["z"] = np.arange(30), np.arange(30) / 2, -np.arange(30)
    points["rgb"] = np.arange(90).reshape(30, 3)
    f.create_dataset("points", data=points, chunks=(8,), **hp.Blosc())
    f["plain points"] = points
    f.create_dataset("refused/zfp", data=values, chunks=(24, 65), **hp.Zfp(reversible=True))
    f.create_dataset("refused/blosc2", data=values, chunks=(24, 65), **hp.Blosc2())
    p = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    p.set_chunk((4,))
    p.set_filter(40000, h5py.h5z.FLAG_OPTIONAL, ())
    h5py.h5d.create(f["refused"].id, b"unnamed", h5py.h5t.IEEE_F64LE, h5py.h5s.create_simple((4,)), p)
    f["links/absolute"] = h5py.SoftLink("/f4/lzf")
    f["links/relative"] = h5py.SoftLink("absolute")
    f["links/group"] = h5py.SoftLink("/f4")
    f["links/dangling"] = h5py.SoftLink("/nowhere/at/all")
    f["links/loop"] = h5py.SoftLink("/links/loop")
    f["links/other"] = h5py.ExternalLink("cycle.h5", "/x")

# A file that its writer did not close: written so that readers may follow, and copied while it is open.
with h5py.File("unclosed.tmp", "w", libver=("v110", "v110")) as f:
    f["x"] = np.arange(4.0)
    f.flush()
    with open("unclosed.tmp", "rb") as src, open("unclosed.h5", "wb") as dst:
        dst.write(src.read())
os.remove("unclosed.tmp")
