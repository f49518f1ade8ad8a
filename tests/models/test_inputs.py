"""What is no batch of images is refused in a line, by every classifier, at its first call and later."""

import copy

import pytest
import torch
from torch import nn

from srat.core.errors import UserError
from srat.models import Classifier, ImageShape, Normalization, build, wrap
from srat.models.backbones.linear import Linear
from srat.models.backbones.small_cnn import SmallCNN
from srat.models.heads import LinearHead
from wrapping import GREY, Own

DIGITS = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def settled():
    model = wrap(Own(), **GREY)
    model(DIGITS)
    return model


def ours():
    shape, one = ImageShape(channels=1, height=8, width=8), torch.ones(1)
    return build(SmallCNN(width=4), LinearHead(), shape=shape, classes=10, mean=0.5 * one, std=0.5 * one)


MODELS = {
    "wrapped": lambda: wrap(Own(), **GREY),
    "settled": settled,
    "pooling": lambda: wrap(nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(64, 10)), **GREY),
    "ours": ours,
    "normalization": lambda: Normalization(torch.ones(1), torch.ones(1)),
}
WANTED = r"images: expected a tensor of floats in \[0, 1\], \(batch, channels, height, width\), got "
REFUSED = {
    "list": (list(DIGITS), "a list of 6: torch.stack makes"),
    "tuple": (tuple(DIGITS), "a tuple of 6: torch.stack makes"),
    "array": (DIGITS.numpy(), r"an array of float32, \(6, 1, 8, 8\); torch.as_tensor makes"),
    "none": (None, "None$"),
    "text": ("images", "'images'$"),
    "bytes": ((DIGITS * 255).byte(), r"a tensor of uint8, \(6, 1, 8, 8\); srat.data.to_unit makes floats"),
    "integers": (DIGITS.long(), r"a tensor of int64, \(6, 1, 8, 8\)$"),
    "booleans": (DIGITS > 0.5, "a tensor of bool"),
    "complex": (DIGITS.to(torch.complex64), "a tensor of complex64"),
    "an image": (DIGITS[0], r"a tensor of float32, \(1, 8, 8\); a batch of one image is images\[None\]"),
    "a plane": (DIGITS[0, 0], r"a tensor of float32, \(8, 8\)$"),
    "films": (DIGITS[None], r"a tensor of float32, \(1, 6, 1, 8, 8\)$"),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_batch_of_images_is_refused(model, what):
    images, said = REFUSED[what]
    with pytest.raises(UserError, match=WANTED + said) as error:
        MODELS[model]()(images)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("model", ["settled", "ours", "normalization"])
def test_another_number_of_channels_is_refused(model):
    with pytest.raises(UserError, match=r"images: expected 1 channel, got 3$"):
        MODELS[model]()(DIGITS.expand(-1, 3, -1, -1))


def test_another_size_is_told_of_where_the_model_does_not_take_it():
    shape, one = ImageShape(channels=1, height=8, width=8), torch.ones(1)
    model = build(Linear(), LinearHead(), shape=shape, classes=10, mean=one, std=one)
    for known in (model, copy.deepcopy(model)):
        with pytest.raises(UserError, match=r"take images of 1 × 16 × 16, but of 1 × 8 × 8 \(RuntimeError: ") as error:
            known(torch.rand(2, 1, 16, 16))
        assert "\n" not in str(error.value)
    assert ours()(torch.rand(2, 1, 12, 12)).logits.shape == (2, 10)
    learned = Classifier(Normalization(one, one), nn.Flatten(), nn.Linear(64, 10))
    learned(DIGITS)
    with pytest.raises(UserError, match="but of 1 × 8 × 8"):
        learned(torch.rand(2, 1, 16, 16))
    learned.head = nn.Linear(3, 10)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):  # of no size
        learned(DIGITS)


def test_one_channel_is_not_taken_for_three():
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 10))
    for images, got in ((DIGITS, "1$"), (DIGITS[:, :, :, :3].transpose(1, 2), r"8; images.movedim\(-1, 1\) brings")):
        with pytest.raises(UserError, match="images: expected 3 channels, got " + got):
            wrap(net, mean=[0.5] * 3, std=[0.2] * 3)(images)


def test_one_mean_is_for_as_many_channels_as_the_model_takes():
    model = wrap(nn.Sequential(nn.Flatten(), nn.Linear(192, 10)), **GREY)
    with pytest.raises(UserError, match=r"Sequential does not take images of 1 × 8 × 8 \(RuntimeError: mat1 and mat2"):
        model(DIGITS)
    model(DIGITS.expand(-1, 3, -1, -1))
    with pytest.raises(UserError, match="images: expected 3 channels, got 1$"):
        model(DIGITS)


def test_no_images_are_refused_at_the_first_call_alone():
    model = wrap(Own(), **GREY).eval()
    with pytest.raises(UserError, match="expected at least one at the model's first call, got none"):
        model(DIGITS[:0])
    model(DIGITS)
    assert model(DIGITS[:0]).logits.shape == (0, 10)


def test_values_are_never_looked_at():
    """As on a GPU, where that would wait for all that runs: tensors on "meta" have no values."""
    for make in (settled, ours):
        model = make().eval().to("meta")
        assert model(DIGITS.to("meta")).logits.shape == (6, 10)


def test_running_out_of_memory_is_not_the_models_fault():
    class Large(Own):
        def forward(self, x):
            raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        wrap(Large(), **GREY)(DIGITS)


def test_arguments_have_their_name():
    model = settled().eval()
    assert torch.equal(model(images=DIGITS).logits, model(DIGITS).logits)
