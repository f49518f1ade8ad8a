"""The model that lies beside this file as model.pt2: images in [0, 1] → logits. It needs torch, and nothing else.

>>> from model import load_model
>>> model = load_model()  # images: float32 in [0, 1], (batch, channels, height, width), not normalised
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export.passes import move_to_device_pass


class Model(nn.Module):
    """A program of torch.export: architecture, weights and normalisation; it is in eval mode for good.

    Args:
        program: images → logits and probabilities.
    """

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (batch, classes)."""
        logits: Tensor = self.program(images)[0]
        return logits

    def train(self, mode: bool = True) -> "Model":
        """Stay in eval mode: the program was made of it, and has no other."""
        del mode
        self.training = False
        return self


def load_model(folder: "Path | str" = Path(__file__).parent, device: "torch.device | str" = "cpu") -> Model:
    """Return the model, in eval mode and on a device.

    Args:
        folder: where model.pt2 lies.
        device: where to compute, such as "cuda".
    """
    program = torch.export.load(Path(folder) / "model.pt2")
    return Model(move_to_device_pass(program, str(device)).module())
