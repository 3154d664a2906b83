#!/usr/bin/env python3
"""Prints what TensorBoard reads from folders of event files, as JSON: tag -> [[step, value], ...].

    pip install tensorboard
    python check_events.py DIR...
"""
import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

for path in sys.argv[1:]:
    a = EventAccumulator(path).Reload()
    tags = a.Tags()
    out = {tag: [[e.step, e.value] for e in a.Scalars(tag)] for tag in tags["scalars"]}
    out.update({tag: [[e.step, float(tensor_util.make_ndarray(e.tensor_proto))] for e in a.Tensors(tag)] for tag in tags["tensors"]})
    print(json.dumps(out, sort_keys=True))
