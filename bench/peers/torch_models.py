"""The models of models.py in PyTorch, with its own initialization: the same layers, shapes and options."""
import torch
from torch import nn


def tutorial():
    return nn.Sequential(
        nn.Conv3d(3, 32, 3), nn.ReLU(), nn.MaxPool3d(2), nn.BatchNorm3d(32), nn.Dropout(.5),
        nn.Conv3d(32, 64, 3), nn.ReLU(), nn.MaxPool3d(2), nn.BatchNorm3d(64), nn.Dropout(.5),
        nn.Flatten(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)), (3, 16, 16, 16)


def voxnet():
    return nn.Sequential(
        nn.Conv3d(1, 32, 5, stride=2), nn.LeakyReLU(.1), nn.Dropout(.2), nn.Conv3d(32, 32, 3), nn.LeakyReLU(.1), nn.MaxPool3d(2), nn.Dropout(.3),
        nn.Flatten(), nn.Linear(6912, 128), nn.ReLU(), nn.Dropout(.4), nn.Linear(128, 40)), (1, 32, 32, 32)


class Block(nn.Module):
    def __init__(self, inp, out, stride):
        super().__init__()
        self.one, self.one_norm = nn.Conv3d(inp, out, 3, stride, 1, bias=False), nn.BatchNorm3d(out)
        self.two, self.two_norm = nn.Conv3d(out, out, 3, 1, 1, bias=False), nn.BatchNorm3d(out)
        short = stride > 1 or inp != out
        self.short = nn.Sequential(nn.Conv3d(inp, out, 1, stride, bias=False), nn.BatchNorm3d(out)) if short else nn.Identity()

    def forward(self, x):
        y = torch.relu(self.one_norm(self.one(x)))
        return torch.relu(self.two_norm(self.two(y)) + self.short(x))


def resnet():
    return nn.Sequential(
        nn.Conv3d(1, 16, 3, padding=1, bias=False), nn.BatchNorm3d(16), nn.ReLU(), Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2),
        nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(64, 10)), (1, 32, 32, 32)


def medical():
    stack, inp = [], 1
    for out in (16, 32, 64):
        stack += [nn.Conv3d(inp, out, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.BatchNorm3d(out)]
        inp = out
    return nn.Sequential(*stack, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Dropout(.3), nn.Linear(128, 2)), (1, 64, 64, 64)


MODELS = {"tutorial": tutorial, "voxnet": voxnet, "resnet": resnet, "medical": medical}


def build(name):
    """Returns the model and the shape of a sample; a single layer's name is conv<side>_<in>_<out>_k<kernel>_s<stride>."""
    if name in MODELS:
        return MODELS[name]()
    side, inp, out, kernel, stride = (int(part.lstrip("convks")) for part in name.split("_"))
    return nn.Conv3d(inp, out, kernel, stride, (kernel - 1) // 2), (inp, side, side, side)
