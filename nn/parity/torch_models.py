#!/usr/bin/env python3
"""Makes random three-dimensional models with PyTorch, exports them to ONNX, and says what they predict and how they train.

usage: torch_models.py make FOLDER COUNT SEED    writes N.onnx and N.npz for each N, and manifest.json

Every array is in the layout of the library under test: kernels [D,H,W,in,out], matrices [in,out]. Models of odd number are exported by the exporter on
torch.export, the others by the older one on TorchScript. Arrays of N.npz: x, y (what the model predicts), target, loss, and for each parameter NAME:
start/NAME, grad/NAME, after/NAME; running statistics have start and after only.
"""
import json
import logging
import pathlib
import sys
import warnings

import numpy as np
import onnx
import torch
from torch import nn

BATCH, STEPS, RATE, EPSILON = 4, 20, 1e-3, 1e-3
warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)


class Residual(nn.Module):
    """The sum of a value and what a body makes of it."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return x + self.body(x)


class Branches(nn.Module):
    """The channels of two bodies one after the other."""

    def __init__(self, one, other):
        super().__init__()
        self.one, self.other = one, other

    def forward(self, x):
        return torch.cat([self.one(x), self.other(x)], dim=1)


class Gate(nn.Module):
    """Squeeze and excite: each channel times a number between 0 and 1 made of all channels' means."""

    def __init__(self, channels):
        super().__init__()
        self.squeeze, self.excite = nn.AdaptiveAvgPool3d(1), nn.Conv3d(channels, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.excite(self.squeeze(x)))


class Maker:
    """Makes modules that fit a shape [C,D,H,W]."""

    def __init__(self, rng):
        self.rng, self.used = rng, []

    def pick(self, *choices):
        return choices[self.rng.integers(len(choices))]

    def three(self, low, high):
        return tuple(int(v) for v in self.rng.integers(low, high + 1, 3))

    def make(self, cls, *args, **options):
        self.used.append({"class": cls.__name__, "options": sorted(options)})
        return cls(*args, **options)

    def some(self, **options):
        return {k: v for k, v in options.items() if self.rng.random() < 0.5}

    def conv(self, c):
        groups = self.pick(1, 1, 1, c)
        options = self.some(stride=self.three(1, 2), padding=self.three(0, 2), dilation=self.three(1, 2), bias=self.pick(True, False))
        if groups > 1:
            options["groups"] = groups
        if "stride" not in options and self.rng.random() < 0.3:
            options["padding"] = self.pick("same", "valid")
        return self.make(nn.Conv3d, c, groups * self.pick(1, 2, 3), self.three(1, 3), **options)

    def conv_transpose(self, c):
        options = self.some(padding=self.three(0, 1), bias=self.pick(True, False))
        if self.rng.random() < 0.5:
            options |= dict(stride=(2, 2, 2)) | self.some(output_padding=self.three(0, 1))
        else:
            options |= self.some(dilation=self.three(1, 2))  # not with strides: Keras has only one of them
        return self.make(nn.ConvTranspose3d, c, self.pick(1, 2, 3), self.three(2, 3), **options)

    def pool(self, _):
        if self.rng.random() < 0.5:
            return self.make(nn.MaxPool3d, self.three(1, 3), **self.some(stride=self.three(1, 2)))
        return self.make(nn.AvgPool3d, self.pick(2, 3), **self.some(stride=self.three(1, 2), padding=1))

    def norm(self, c):
        affine = dict(affine=True)
        return self.pick(
            lambda: self.make(nn.BatchNorm3d, c, **self.some(eps=1e-3, momentum=self.pick(0.05, 0.3), affine=False)),
            lambda: self.make(nn.BatchNorm3d, c),
            lambda: self.make(nn.InstanceNorm3d, c, **self.some(eps=1e-3, **affine)),
            lambda: self.make(nn.GroupNorm, self.pick(1, c), c, **self.some(eps=1e-3, affine=False)))()

    def activation(self, c):
        return self.pick(
            lambda: self.make(nn.ReLU), lambda: self.make(nn.ReLU), lambda: self.make(nn.LeakyReLU, **self.some(negative_slope=0.2)),
            lambda: self.make(nn.PReLU, **self.some(num_parameters=c)), lambda: self.make(nn.ELU, **self.some(alpha=0.5)), lambda: self.make(nn.SELU),
            lambda: self.make(nn.CELU, **self.some(alpha=0.7)), lambda: self.make(nn.GELU, **self.some(approximate="tanh")), lambda: self.make(nn.SiLU),
            lambda: self.make(nn.Mish), lambda: self.make(nn.Softplus), lambda: self.make(nn.Softsign), lambda: self.make(nn.Sigmoid),
            lambda: self.make(nn.Tanh), lambda: self.make(nn.Hardsigmoid), lambda: self.make(nn.Hardswish), lambda: self.make(nn.ReLU6),
            lambda: self.make(nn.Hardtanh), lambda: self.make(nn.Softmax, dim=1), lambda: self.make(nn.LogSoftmax, dim=1))()

    def shape_layer(self, _):
        return self.pick(lambda: self.make(nn.Upsample, **{"scale_factor": self.pick(2, (1, 2, 3))}),
                         lambda: self.make(nn.ConstantPad3d, tuple(int(v) for v in self.rng.integers(0, 3, 6)), 0.0),
                         lambda: self.make(nn.Dropout, p=0.3), lambda: self.make(nn.Dropout3d, p=0.3), lambda: self.make(nn.Identity))()

    def same_shape(self, c):
        """A body that keeps the shape."""
        conv = self.make(nn.Conv3d, c, c, 3, padding=1)
        return nn.Sequential(conv, self.norm(c), self.activation(c))

    def block(self, c):
        return self.pick(lambda: self.make(Residual, self.same_shape(c)), lambda: self.make(Branches, self.same_shape(c), self.same_shape(c)),
                         lambda: self.make(Gate, c))()

    def head(self, shape):
        """Ends in a few numbers."""
        c, parts = shape[0], []
        if self.rng.random() < 0.5 or int(np.prod(shape)) > 400:
            parts.append(self.make(self.pick(nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool3d), 1))
        else:
            c = int(np.prod(shape))
        parts.append(self.make(nn.Flatten))
        if self.rng.random() < 0.5:
            parts += [self.make(nn.Linear, c, 6, **self.some(bias=False)),
                      self.pick(lambda: self.make(nn.BatchNorm1d, 6), lambda: self.make(nn.LayerNorm, 6), lambda: self.make(nn.Identity))(), self.activation(6)]
            c = 6
        return parts + [self.make(nn.Linear, c, self.pick(2, 3, 5))]

    def model(self):
        shape = (self.pick(1, 2, 3),) + self.three(5, 8)
        layers, x = [], torch.zeros(BATCH, *shape)
        for _ in range(self.pick(2, 3, 4, 5)):
            kind = self.pick(self.conv, self.conv, self.conv_transpose, self.pool, self.norm, self.activation, self.activation, self.block, self.shape_layer)
            used = len(self.used)
            try:
                layer = kind(x.shape[1])
                y = layer(x)
                fits = 0 < y.numel() <= 20000 and y[0, 0].numel() > 1
            except (RuntimeError, ValueError):
                fits = False
            if not fits:
                del self.used[used:]
                continue
            layers, x = layers + [layer], y
        return nn.Sequential(*layers, *self.head(tuple(x.shape[1:]))), shape


def layout(name, owner, v):
    """An array of a module in the layout of the library under test."""
    a = v.detach().numpy()
    if a.ndim == 5:
        return a.transpose(2, 3, 4, 1, 0).copy()  # of a transposed convolution too: [in,out,...] becomes [...,out,in]
    if isinstance(owner, nn.Linear) and a.ndim == 2:
        return a.T.copy()
    return a.copy()


def arrays(model, kind):
    """All parameters and running statistics by name; kind picks the value or the gradient."""
    out = {}
    for path, owner in model.named_modules():
        for name, p in owner.named_parameters(recurse=False):
            out[f"{path}.{name}"] = layout(name, owner, p if kind == "value" else p.grad)
        if kind == "value":
            for name, p in owner.named_buffers(recurse=False):
                if p.ndim == 1:
                    out[f"{path}.{name}"] = layout(name, owner, p)
    return out


def randomize(model, rng):
    with torch.no_grad():
        for v in list(model.parameters()) + [b for b in model.buffers() if b.ndim == 1]:
            n = torch.from_numpy(rng.standard_normal(v.shape).astype(np.float32))
            if v.ndim > 1:
                n /= np.sqrt(np.prod(v.shape[1:]))
            v.copy_(n if v.ndim > 1 else 0.5 + 0.3 * n.abs())


def train(model, x, target):
    """Takes some steps of Adam; returns the first loss and gradients.

    The moving variance of PyTorch takes that of the batch over n-1, of Keras and the library under test over n: what has been added is multiplied by (n-1)/n.
    """
    counts, norms = {}, [m for m in model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm3d))]
    hooks = [m.register_forward_pre_hook(lambda m, i: counts.__setitem__(m, i[0].numel() // i[0].shape[1])) for m in norms]
    start = {m: m.running_var.clone() for m in norms}
    optimizer, cross = torch.optim.Adam(model.parameters(), lr=RATE, eps=EPSILON), nn.CrossEntropyLoss()
    model.train()
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = cross(model(x), target)
        loss.backward()
        if step == 0:
            first, grads = loss.item(), {k: v for k, v in arrays(model, "grad").items()}
        optimizer.step()
    for m in norms:
        left = start[m] * (1 - m.momentum) ** STEPS
        m.running_var.copy_(left + (m.running_var - left) * (counts[m] - 1) / counts[m])
    for h in hooks:
        h.remove()
    return first, grads


def one(number, seed, folder):
    """Makes a model and all that is compared; None where it does not lend itself to it."""
    rng = np.random.default_rng([seed, number])
    torch.manual_seed(seed * 100003 + number)
    m = Maker(rng)
    model, shape = m.model()
    randomize(model, rng)
    x = torch.from_numpy(rng.standard_normal((BATCH,) + shape).astype(np.float32))
    model.eval()
    y = model(x).detach()
    if not torch.isfinite(y).all() or y.abs().max() > 1e3:
        return None
    dynamo, path = number % 2 == 1, str(folder / f"{number}.onnx")
    open_batch = bool(rng.integers(2))  # exported for any batch, or for one sample
    if dynamo:
        torch.onnx.export(model, (x if open_batch else x[:1],), path, dynamo=True, external_data=False, verbose=False,
                          dynamic_shapes=({0: torch.export.Dim.DYNAMIC},) if open_batch else None)
    else:
        # PRESERVE leaves normalizations as they are, where the default folds them into convolutions.
        training = torch.onnx.TrainingMode.PRESERVE if number % 4 == 0 else torch.onnx.TrainingMode.EVAL
        torch.onnx.export(model, (x if open_batch else x[:1],), path, dynamo=False, input_names=["x"], training=training,
                          opset_version=int(rng.choice([17, 18, 20])), dynamic_axes={"x": {0: "batch"}} if open_batch else None)
    file = onnx.load(path)
    for node in file.graph.node:  # tracebacks of this script
        del node.metadata_props[:]
        node.ClearField("doc_string")
    onnx.save(file, path)
    out = {"x": x.numpy(), "y": y.numpy()}
    random = any(isinstance(l, (nn.Dropout, nn.Dropout3d)) for l in model.modules())
    if not random:
        out |= {f"start/{k}": v for k, v in arrays(model, "value").items()}
        target = torch.from_numpy(rng.integers(0, y.shape[1], BATCH))
        loss, grads = train(model, x, target)
        out |= {"loss": np.float32([loss]), "target": target.numpy().astype(np.float32)}
        out |= {f"grad/{k}": v for k, v in grads.items()} | {f"after/{k}": v for k, v in arrays(model, "value").items()}
    if not all(np.isfinite(a).all() for a in out.values()):
        return None
    np.savez_compressed(folder / f"{number}.npz", **out)
    return {"number": number, "exporter": "torch.export" if dynamo else "TorchScript", "trained": not random, "layers": m.used}


def main():
    torch.set_num_threads(1)
    folder, count, seed = pathlib.Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    models, number = [], 0
    while len(models) < count:
        entry = one(number, seed, folder)
        if entry:
            models.append(entry)
        number += 1
    (folder / "manifest.json").write_text(json.dumps(
        {"torch": torch.__version__, "steps": STEPS, "rate": RATE, "epsilon": EPSILON, "batch": BATCH, "models": models}))


if __name__ == "__main__":
    main()
