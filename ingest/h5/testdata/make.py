"""Makes the small archives of this folder, which h5py writes and our writer does not: labels as text, points as records, links. Run as: python make.py"""

import os

import h5py
import numpy as np

os.chdir(os.path.dirname(os.path.abspath(__file__)))
grids = np.arange(4 * 2 * 3 * 4, dtype="f4").reshape(4, 2, 3, 4)
points = np.arange(4 * 5 * 3, dtype="f4").reshape(4, 5, 3)

with h5py.File("text.h5", "w", libver=("v110", "v110")) as f:  # labels are names, of which each part has others
    text = h5py.string_dtype()
    f["train/images"] = grids
    f.create_dataset("train/labels", data=["dog", "cat", "dog", "cat"], dtype=text)
    f["test/images"] = grids[:2]
    f["test/labels"] = np.array([b"emu", b"dog"])

with h5py.File("groups.h5", "w", libver=("v110", "v110")) as f:  # clouds as records and tables, labels as names, two clouds that are none
    for i in range(3):
        f[f"{i}/points"] = points[i]
        f[str(i)].attrs["label"] = ["table", "chair"][i % 2]
    records = np.zeros(6, [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4"), ("name", "S2")])
    records["y"], records["intensity"] = np.arange(6), 7
    f["3/points"] = records
    f["4/points"] = points[0][:, :2]
    f.create_group("5")

with h5py.File("links.h5", "w", libver=("v110", "v110")) as f:
    f["g/X"] = grids
    f["X_train"] = h5py.SoftLink("/g/X")
    f["X_test"] = h5py.ExternalLink("text.h5", "/train/images")
