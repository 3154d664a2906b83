"""Writes sums.tsv: path, type, shape and sum of every dataset of a Keras model. Run as: python sums.py MODEL.h5"""

import os
import sys

import h5py

with h5py.File(sys.argv[1]) as f, open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "sums.tsv"), "w") as out:

    def visit(name, o):
        if isinstance(o, h5py.Dataset):
            shape = str(o.shape)[1:-1]
            out.write(f"/{name}\t{o.dtype}\t{shape}\t{o[()].sum(dtype='f8'):.12g}\n")

    f.visititems(visit)
