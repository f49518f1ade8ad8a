"""Mixings (a file each): which images of a batch are mixed with which, their labels with them."""

from srat.core.members import import_members
from srat.data.mixing.base import Mix, Mixing, PairMixing
from srat.data.mixing.cmo import CMO
from srat.data.mixing.cutmix import Box, CutMix, cut_mix, draw_box
from srat.data.mixing.mixup import MixUp, mix_up
from srat.data.mixing.no_mixing import NoMixing

import_members(__name__)

__all__ = ["CMO", "Box", "CutMix", "Mix", "MixUp", "Mixing", "NoMixing", "PairMixing", "cut_mix", "draw_box", "mix_up"]
