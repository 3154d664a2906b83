"""Predictions of volumes by models with the layers that Keras lacks, in both directions.

    layers.py DIR VOLUMES

predicts with each .keras and .h5 file in DIR, saves it again in DIR/again, and prints the predictions by name as JSON.
VOLUMES is a file of float32 volumes.
"""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "python"))
import keras
import numpy as np

import voxelstream_layers  # noqa: F401  registers the layers

folder, volumes = sys.argv[1:]
out = {}
again = os.path.join(folder, "again")
os.mkdir(again)
for name in sorted(os.listdir(folder)):
    if name.endswith((".keras", ".h5")):
        model = keras.saving.load_model(os.path.join(folder, name), compile=False)
        x = np.fromfile(volumes, "<f4").reshape((-1, *model.inputs[0].shape[1:]))
        out[name] = keras.ops.convert_to_numpy(model(x, training=False)).ravel().tolist()
        model.save(os.path.join(again, name))
json.dump(out, sys.stdout)
