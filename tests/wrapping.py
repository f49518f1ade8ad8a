"""Modules to wrap, and quick runs that train them."""

from dataclasses import replace

from torch import nn

from srat.config.composition import compose
from srat.evaluation.observer import Observer

GREY = {"mean": [0.5], "std": [0.25]}


class Own(nn.Module):
    """A module of a body and a head, which a function follows; the head may be defined first."""

    def __init__(self, after=lambda z: z, *, head_first=False, head=None, classes=10):
        super().__init__()
        if head_first:
            self.fc = head or nn.Linear(16, classes)
        conv = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
        self.body = nn.Sequential(*conv, nn.Flatten(), nn.Linear(144, 16), nn.ReLU())
        self.bn = nn.BatchNorm1d(16)
        self.fc = head or nn.Linear(16, classes)
        self.after = after

    def forward(self, x):
        return self.after(self.fc(self.bn(self.body(x))))


def grey(images):
    """Return what a model wrapped with `GREY` takes images for."""
    return (images - 0.5) / 0.25


def tiny(method="srat-ce", epochs=1, **options):
    config = compose(**{"method": method, "ratio": 10, "epochs": epochs, "guard": "none"} | options)
    return replace(config, attack=replace(config.attack, steps=2))


class Notices(Observer):
    def __init__(self):
        self.said = []

    def notice(self, text):
        self.said.append(text)
