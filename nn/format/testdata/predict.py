"""Loads models with Keras and prints their predictions as JSON. PATH.weights.h5 is loaded into the model of PATH.keras."""
import json
import sys

import keras

from recurrence import predict

out = {}
for path in sys.argv[1:]:
    if path.endswith(".weights.h5"):
        model = keras.models.load_model(path.replace(".weights.h5", ".keras"), compile=False)
        for w in model.weights:
            w.assign(w * 0)
        model.load_weights(path)
    else:
        model = keras.models.load_model(path, compile=False)
    out[path] = predict(model)
json.dump(out, sys.stdout)
