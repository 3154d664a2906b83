"""Writes messages of version 2 as another program would: columns in an order of its own, some that voxelstream does not know, some left out.

    python version2.py FOLDER      needs numpy and pyarrow; version2_test.go reads what it writes
"""

import sys

import numpy as np
import pyarrow as pa


def write(name, columns, metadata):
    schema = pa.schema(
        [pa.field(n, column.type) for n, column in columns.items()], metadata=metadata
    )
    batch = pa.record_batch(list(columns.values()), schema=schema)
    batch.validate(full=True)
    with pa.ipc.new_stream(f"{sys.argv[1]}/{name}", schema) as writer:
        writer.write_batch(batch)


dims, rows = (2, 3, 4), 3
cells = rows * 2 * 3 * 4

# Two channels of float32; no time, label, origin, edge, points and outside.
write(
    "version2-float.arrow",
    {
        "sensor": pa.array(["left", None, "right"]),
        "seq": pa.array([7, 8, 9], pa.uint64()),
        "returns": pa.array([[1.5], [], [2.5, 3.5]], pa.list_(pa.float32())),
        "object": pa.array([1, None, 3], pa.uint32()),
        "mount": pa.array(
            [{"name": "roof", "at": [1, 2]}, None, {"name": "hood", "at": []}],
            pa.struct({"name": pa.string(), "at": pa.list_(pa.int8())}),
        ),
        "voxels": pa.FixedShapeTensorArray.from_numpy_ndarray(
            (np.arange(2 * cells, dtype=np.float32) / 4 - 10).reshape(rows, *dims, 2)
        ),
        "either": pa.UnionArray.from_dense(
            pa.array([0, 1, 0], pa.int8()),
            pa.array([0, 0, 1], pa.int32()),
            [pa.array([1, 2], pa.int32()), pa.array(["x"])],
        ),
        "nothing": pa.nulls(rows),
        "box": pa.array(
            [[1, 2, 3, 4, 5, 6, 0.5], None, [7, 8, 9, 1, 1, 1, -0.25]],
            pa.list_(pa.float64(), 7),
        ),
        "wet": pa.array([True, None, False]),
        "track": pa.array([2**63, 0, 5], pa.uint64()),
    },
    {
        "voxelstream.version": "2",
        "voxelstream.dims": "2,3,4",
        "voxelstream.channels": "2",
        "somebody": "else",
    },
)

# Bytes with scale and offset in a plain list, and other columns.
write(
    "version2-bytes.arrow",
    {
        "voxels": pa.FixedSizeListArray.from_arrays(
            pa.array(np.arange(cells, dtype=np.uint8)), cells // rows
        ),
        "seq": pa.array([1, 2, 3], pa.uint64()),
        "time": pa.array([10, None, 30], pa.timestamp("ns", "UTC")),
        "label": pa.array([4, None, -1], pa.int32()),
        "origin": pa.array([[1, 2, 3], None, [4, 5, 6]], pa.list_(pa.float64(), 3)),
        "edge": pa.array([0.5, 0.25, None], pa.float32()),
        "points": pa.array([1, 2, 3], pa.uint32()),
        "outside": pa.array([None, None, None], pa.uint32()),
        "view": pa.array([1, 2, 3], pa.uint32()),
        "pose": pa.array(
            [[1, 0, 0, 5, 0, 1, 0, 6, 0, 0, 1, 7], None, None], pa.list_(pa.float64(), 12)
        ),
    },
    {
        "voxelstream.version": "2",
        "voxelstream.dims": "2,3,4",
        "voxelstream.scale": "4",
        "voxelstream.offset": "-1000",
    },
)

# Distances and velocities of objects.
write(
    "version2-objects.arrow",
    {
        "seq": pa.array([1, 2, 3], pa.uint64()),
        "object": pa.array([1, 2, 3], pa.uint32()),
        "track": pa.array([5, 5, 5], pa.uint64()),
        "velocity": pa.array(
            [None, [1, -2, 0.5], [0, 0, 0]], pa.list_(pa.float64(), 3)
        ),
        "distance": pa.array(
            [[1.5, 2, 2.5, 0.125, 0.75], None, [0, 0, 0, 0, 0]],
            pa.list_(pa.float64(), 5),
        ),
        "voxels": pa.FixedSizeListArray.from_arrays(
            pa.array(np.arange(cells, dtype=np.uint8)), cells // rows
        ),
    },
    {
        "voxelstream.version": "2",
        "voxelstream.dims": "2,3,4",
    },
)
