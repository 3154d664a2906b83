"""The layers of Voxelstream that Keras does not have, for Keras 3 with any backend.

Import this module, then load a model that Voxelstream has written:

    import keras
    import voxelstream_layers

    model = keras.saving.load_model("plane.keras")

The layers are for inference. With training=True they compute the same: the random changes that PrincipalPlane makes in
Voxelstream are left out. Gradients take the pose as constant, as those of Voxelstream do.

Poses are computed in float64, which JAX has only with JAX_ENABLE_X64=1; otherwise it computes them in float32.
"""
import keras
import numpy as np
from keras import ops

POSE_SIZE = 7
SWEEPS = 6  # of Jacobi rotations, which converge quadratically


def _turns():
    """The 24 rotations of a cube, the first of which changes nothing: axes of the input, and whether they run backwards."""
    out = []
    for axes in ((0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1), (1, 0, 2), (2, 1, 0)):
        odd = axes[(axes.index(0) + 1) % 3] != 1
        for bits in range(8):
            back = [bool(bits >> a & 1) for a in range(3)]
            if (sum(back) % 2 == 1) == odd:
                out.append((axes, back))
    return out


TURNS = _turns()


def _upright(x, threshold):
    """Whether volumes [N,D,H,W,C] count as upright: their asymmetry along the width is below the threshold. Shape [N]."""
    x = ops.maximum(x, 0)
    difference = ops.sum(ops.abs(x - ops.flip(x, axis=3)), axis=(1, 2, 3, 4))
    return difference < threshold * ops.sum(x, axis=(1, 2, 3, 4))


def _eigen(m):
    """Eigenvalues of symmetric matrices [N,3,3], and unit eigenvectors as columns, by cyclic Jacobi rotations."""
    unit = np.eye(3)
    vectors = ops.zeros_like(m) + ops.cast(unit, m.dtype)
    least = 1e-15 * (m[:, 0, 0] + m[:, 1, 1] + m[:, 2, 2])
    for _ in range(SWEEPS):
        for a, b in ((0, 1), (0, 2), (1, 2)):
            off = m[:, a, b]
            zero = ops.abs(off) <= least
            theta = (m[:, b, b] - m[:, a, a]) / ops.where(zero, ops.ones_like(off), 2 * off)
            t = 1 / (ops.abs(theta) + ops.sqrt(theta * theta + 1))
            t = ops.where(zero, ops.zeros_like(t), ops.where(theta < 0, -t, t))
            cos = 1 / ops.sqrt(t * t + 1)
            both, across = np.zeros((3, 3)), np.zeros((3, 3))
            both[a, a] = both[b, b] = across[a, b] = 1
            across[b, a] = -1
            turn = unit + (cos - 1)[:, None, None] * ops.cast(both, m.dtype) + (t * cos)[:, None, None] * ops.cast(across, m.dtype)
            m = ops.matmul(ops.transpose(turn, (0, 2, 1)), ops.matmul(m, turn))
            vectors = ops.matmul(vectors, turn)
    return ops.stack([m[:, a, a] for a in range(3)], axis=1), vectors


def _longest(values, vectors):
    """The two largest of three eigenvalues [N,2], and their eigenvectors as rows [N,2,3]. Of equal ones the first comes first."""
    a, b = values[:, :, None], values[:, None, :]
    earlier = np.tri(3, k=-1, dtype=bool)
    rank = ops.sum(ops.cast(ops.where(earlier, b >= a, b > a), "int32"), axis=2)
    chosen = ops.cast(ops.stack([rank == 0, rank == 1], axis=1), values.dtype)
    return ops.matmul(chosen, values[:, :, None])[:, :, 0], ops.matmul(chosen, ops.transpose(vectors, (0, 2, 1)))


@keras.saving.register_keras_serializable(package="voxelstream")
class PrincipalPlane(keras.layers.Layer):
    """Projects volumes [D,H,W,1] onto the plane of their two longest principal axes: an image [1,size,size,1].

    See docs/reference/layers/PrincipalPlane.md of Voxelstream for the arguments. turn, stretch, shift and mirror are
    kept but have no effect.
    """

    def __init__(self, size, scale=0.0, upright=0.0, pose=False, view=0, angle=0.0, zoom=1.0, turn=0.0, stretch=0.0, shift=0.0, mirror=0.0, **kwargs):
        super().__init__(**kwargs)
        if not 1 <= size <= 512 or pose and size < POSE_SIZE:
            raise ValueError(f"size is {size}, want 1 to 512, and at least {POSE_SIZE} with a pose")
        if view not in range(8):
            raise ValueError(f"view is {view}, want an integer from 0 to 7")
        if not abs(angle) <= 2 * np.pi:
            raise ValueError(f"angle is {angle}, want radians, at most a full turn in either direction")
        if not 0 < zoom <= 16:
            raise ValueError(f"zoom is {zoom}, want a number above 0 and at most 16")
        self.size, self.scale, self.upright, self.pose, self.view = int(size), scale or size / 4, upright, pose, int(view)
        self.angle, self.zoom = angle, zoom
        self.turn, self.stretch, self.shift, self.mirror = turn, stretch, shift, mirror

    def get_config(self):
        names = ("size", "scale", "upright", "pose", "view", "angle", "zoom", "turn", "stretch", "shift", "mirror")
        return super().get_config() | {n: getattr(self, n) for n in names}

    def build(self, input_shape):
        if len(input_shape) != 5 or input_shape[-1] != 1:
            raise ValueError(f"input shape is {tuple(input_shape)}, want batch, depth, height, width and one channel")

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 1, self.size + bool(self.pose), self.size, 1)

    def call(self, x):
        dims, size = tuple(x.shape[1:4]), self.size
        middle = (size - 1) / 2
        wide = "float64"
        if keras.config.backend() == "jax":
            import jax

            wide = "float64" if jax.config.jax_enable_x64 else "float32"
        number = lambda v: ops.cast(v, wide)
        x = number(x)
        # x, y, z of each cell, and its share in the sum of all values above 0.
        cells = np.stack(np.meshgrid(*map(np.arange, dims), indexing="ij"), -1).reshape(-1, 3)[:, ::-1].astype("float64")
        values = ops.reshape(x, (-1, len(cells)))
        values = ops.where(values > 0, values, ops.zeros_like(values))
        total = ops.stop_gradient(ops.sum(values, axis=1, keepdims=True))
        full = ops.logical_and(total > 0, total < np.inf)
        values = ops.where(full, values, ops.zeros_like(values)) / ops.where(full, total, ops.ones_like(total))

        centre = ops.matmul(values, number(cells))
        offset = number(cells[None]) - centre[:, None]
        moments = ops.matmul(ops.transpose(offset * values[:, :, None], (0, 2, 1)), offset)
        spread, axes = _longest(*_eigen(moments))
        place = ops.matmul(axes, ops.transpose(offset, (0, 2, 1)))  # [N,2,cells]: along rows and columns
        third = ops.matmul(place**3, values[:, :, None])
        sign = ops.where(third < 0, -ops.ones_like(third), ops.ones_like(third))
        sign = sign * number(np.array([[[-1.0 if self.view & 1 else 1.0], [-1.0 if self.view & 2 else 1.0]]]))
        axes, place = axes * sign, place * sign
        if self.view & 4:
            axes, place = axes[:, ::-1], place[:, ::-1]

        radius = ops.sqrt(ops.sum(ops.maximum(spread, 0), axis=1))
        some = radius > 0
        scale = ops.where(some, self.scale / ops.where(some, radius, ops.ones_like(radius)), ops.ones_like(radius))
        filled = (values > 0)[:, None]
        furthest = ops.max(ops.where(filled, ops.abs(place), ops.zeros_like(place)), axis=(1, 2))
        outside = furthest * scale > middle
        scale = ops.where(outside, middle / ops.where(outside, furthest, ops.ones_like(furthest)), scale)
        place = place * scale[:, None, None]

        upright = ops.zeros_like(radius) > 0
        if self.upright > 0:
            upright = _upright(x, self.upright)
            part = min(1, size / max(dims[0], dims[1]))
            up = np.stack([(dims[0] - 1) / 2 - cells[:, 2], cells[:, 1] - (dims[1] - 1) / 2])[None] * part
            place = ops.where(upright[:, None, None], number(up), place)
            axes = ops.where(upright[:, None, None], number(np.array([[[0.0, 0, -1], [0, 1, 0]]])), axes)
        if self.angle:
            sin, cos = np.sin(self.angle), np.cos(self.angle)
            turn = number(np.array([[[cos, sin], [-sin, cos]]]))
            place, axes = ops.matmul(turn, place), ops.matmul(turn, axes)
        place = ops.stop_gradient(place * self.zoom + middle)

        # Bilinear interpolation: a pixel gets from a value what it is closer than 1 along both axes.
        near = ops.maximum(0, 1 - ops.abs(place[:, :, :, None] - number(np.arange(size))))
        image = ops.matmul(ops.transpose(near[:, 0] * values[:, :, None], (0, 2, 1)), near[:, 1])
        squares = ops.stop_gradient(ops.sum(image * image, axis=(1, 2), keepdims=True))
        lit = squares > 0
        image = image * ops.where(lit, ops.sqrt(size * size / ops.where(lit, squares, ops.ones_like(squares))), ops.ones_like(squares))
        if self.pose:
            line = ops.concatenate([ops.reshape(axes, (-1, 6)), number(upright)[:, None]], axis=1) * number(full)
            line = ops.pad(line, ((0, 0), (0, size - POSE_SIZE)))
            image = ops.concatenate([image, ops.stop_gradient(line)[:, None]], axis=1)
        return ops.cast(image[:, None, :, :, None], self.compute_dtype)


@keras.saving.register_keras_serializable(package="voxelstream")
class CubeRotation(keras.layers.Layer):
    """Turns volumes [S,S,S,C] by one of the 24 rotations of a cube.

    See docs/reference/layers/CubeRotation.md of Voxelstream for the arguments.
    """

    def __init__(self, rotation=0, upright=0.0, **kwargs):
        super().__init__(**kwargs)
        if rotation not in range(len(TURNS)):
            raise ValueError(f"rotation is {rotation}, want an integer from 0 to {len(TURNS) - 1}")
        self.rotation, self.upright = int(rotation), upright

    def get_config(self):
        return super().get_config() | {"rotation": self.rotation, "upright": self.upright}

    def build(self, input_shape):
        if len(input_shape) != 5 or len(set(input_shape[1:4])) > 1:
            raise ValueError(f"input shape is {tuple(input_shape)}, want as many cells along each of three axes")

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def call(self, x):
        axes, back = TURNS[self.rotation]
        y = ops.transpose(x, (0, *(a + 1 for a in axes), 4))
        for a in range(3):
            if back[a]:
                y = ops.flip(y, axis=a + 1)
        if self.upright > 0:
            y = ops.where(_upright(x, self.upright)[:, None, None, None, None], x, y)
        return y
