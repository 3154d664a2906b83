"""Makes the crafted files of this folder: hostile ones, each claiming or hiding something a reader must not trust, and a small ordinary one
that tests damage at random. Run as: python make.py"""

import os
import sys
import zlib

import h5py
import numpy as np

os.chdir(os.path.dirname(os.path.abspath(__file__)))


def new(name, **kw):
    return h5py.File(name, "w", **kw)


with new("huge_dims.h5") as f:  # contiguous, never written: no bytes, 41 GB claimed
    f.create_dataset("X_train", (1_250_000, 4096), "f8")
    f.create_dataset("wide", (10**10, 4096), "f8")

with new("huge_chunk.h5") as f:  # a chunk of 512 MiB for values of 32 MiB
    f.create_dataset("x", (4, 1 << 20), "f8", maxshape=(None, None), chunks=(64, 1 << 20), compression="gzip")

block = bytes(1 << 24)
with new("bomb_stored.h5") as f:  # a chunk of 32 KiB whose deflate stream unpacks to 44 MiB
    d = f.create_dataset("x", (64, 64), "f8", chunks=(64, 64), compression="gzip")
    z = zlib.compressobj(9)
    d.id.write_direct_chunk((0, 0), b"".join(z.compress(block[: 44 << 16]) for _ in range(16)) + z.flush())

with new("bomb_double.h5") as f:  # deflate twice: 4 GiB from a few kilobytes
    p = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    p.set_chunk((64, 64))
    p.set_filter(h5py.h5z.FILTER_DEFLATE, 0, (9,))
    p.set_filter(h5py.h5z.FILTER_DEFLATE, 0, (9,))
    d = h5py.h5d.create(f.id, b"x", h5py.h5t.IEEE_F64LE, h5py.h5s.create_simple((64, 64)), p)
    z = zlib.compressobj(9)
    once = b"".join(z.compress(block) for _ in range(256)) + z.flush()
    d.write_direct_chunk((0, 0), zlib.compress(once, 9))

with new("cycle.h5") as f:  # a group that holds itself and its parent
    a = f.create_group("a")
    b = a.create_group("b")
    b["up"] = a
    b["root"] = f["/"]
    b["self"] = b
    f["x"] = np.arange(4.0)
    b["x2"] = f["x"]

with new("external_storage.h5") as f:  # values taken from another file
    f.create_dataset("x", (1000,), "u1", external=[("/etc/passwd", 0, 1000)])

with new("links.h5") as f:
    f["real/x"] = np.arange(3.0)
    f["soft"] = h5py.SoftLink("/real")
    f["dangling"] = h5py.SoftLink("/nowhere")
    f["external"] = h5py.ExternalLink("cycle.h5", "/x")
    f["passwd"] = h5py.ExternalLink("/etc/passwd", "/")

with new("virtual.h5", libver=("earliest", "v110")) as f:
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource("cycle.h5", "x", (4,))
    f.create_virtual_dataset("x", layout)

with new("deep.h5", libver="latest") as f:  # groups in groups
    g = f
    for _ in range(200):
        g = g.create_group("d")
    g["x"] = 1.0

with new("types.h5") as f:  # what numbers and strings may look like, and where conversion must complain
    f["f64_big"] = np.array([1.0, -2.5, 1e300], ">f8")
    f["f32_big"] = np.array([1.0, -2.5], ">f4")
    f["f16"] = np.array([1.0, -2.5, np.nan, np.inf], "<f2")
    f["special"] = np.array([np.nan, np.inf, -np.inf, 0.5])
    f["i64_big"] = np.array([1, -2, 3], ">i8")
    f["u64"] = np.array([1, 2**63], "u8")
    f["u8"] = np.array([[0, 255], [1, 2]], "u1")
    f["whole"] = np.array([0.0, 5.0, 9.0], "f4")
    f["bool"] = np.array([True, False])
    f["scalar"] = 7.25
    f["null"] = h5py.Empty("f8")
    f["none"] = np.zeros((0, 4096))
    f["complex"] = np.array([1 + 2j])
    f.create_dataset("text", data=["ab", "grüße", ""], dtype=h5py.string_dtype())
    f["fixed"] = np.array([b"ab", b"0123456789"], "S10")
    a = f.attrs
    a["forty"] = np.bytes_("0123456789" * 4)
    a["space"] = np.void(b"x")
    a["vlen"] = "grüße"
    a["list"] = np.array([b"conv3d", b"dense_1"])
    a["vlens"] = np.array(["a", "bc"], dtype=h5py.string_dtype())
    a["big"] = np.array(7, ">i4")
    a["bool"] = True
    a["f"] = np.array([[1.5, 2.5]], ">f4")
    a["u64"] = np.uint64(2**63)
    a["empty"] = np.zeros(0)
    a["null"] = h5py.Empty("f8")

for name, libver in (("small_old.h5", "earliest"), ("small_new.h5", "latest")):  # for random damage
    with new(name, libver=libver) as f:
        rng = np.random.default_rng(1)
        f["X_train"] = rng.random((6, 64))
        f["y_train"] = np.arange(6) % 3
        f.create_dataset("X_test", data=rng.random((4, 64), "f4"), chunks=(2, 32), compression="gzip", shuffle=True)
        f.create_dataset("y_test", data=np.arange(4, dtype="u1"), chunks=(2,), fletcher32=True)
        f.attrs["model_config"] = '{"class_name": "Sequential"}'
        f.attrs["names"] = np.array([b"a", b"bcd"])
        for i in range(3):
            g = f.create_group(str(i))
            g["points"] = rng.random((5, 3))
            g.attrs["label"] = i
            g.attrs["text"] = "label %d" % i

print({n: os.path.getsize(n) for n in sorted(os.listdir(".")) if n.endswith(".h5")}, file=sys.stderr)
