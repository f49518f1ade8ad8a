"""Images that are none: what they look like is said."""

import numpy as np
import pytest
import torch

from srat.attacks import FGSM, PGD, Natural
from srat.attacks.square import Square
from srat.core.errors import UserError
from srat.data import check_images, to_unit


def image(*values, dtype=torch.float32):
    return torch.tensor(values, dtype=dtype).reshape(1, 1, 1, -1)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (image(0, 1.0000001), "got 0 to 1.0000001: by rounding alone; images.clamp(0, 1) cuts it off"),
        (image(-1e-8, 1), "got -1e-08 to 1: by rounding alone"),
        (image(0, 1 + 1e-12, dtype=torch.float64), "got 0 to 1.000000000001: by rounding alone"),
        (image(0, 1.002, dtype=torch.float16), "by rounding alone"),
        (image(0, 1.002), "got 0 to 1.002: slightly outside, as resizing leaves them; images.clamp(0, 1) clips them"),
        (image(-0.03, 1.016), "slightly outside"),
        (image(-0.03, 1), "they look normalised already"),
        (image(0, 1.2), "got 0 to 1.2: the model normalises by itself"),
        (image(0, 255), "got 0 to 255: images of bytes? images / 255 puts them there"),
        (image(0, 254.5), "images / 255 puts them there"),
        (image(0, 65535), "images of 16 bits? images / 65535 puts them there"),
        (image(0, 1e6), "got 0 to 1e+06: the model normalises by itself"),
        (image(-2.1, 2.5), "got -2.1 to 2.5: they look normalised already (mean 0.2); give them as they were"),
        (image(-1, 1), "they look normalised already (mean 0)"),
        (image(float("nan"), 1), "images: expected numbers in [0, 1], got NaN"),
        (image(0, float("inf")), "numbers in [0, 1], got infinity"),
        (image(0, 1, dtype=torch.int64), "images: expected uint8 or floating point, got int64"),
        (image(0, 1, dtype=torch.bool), "images: expected uint8 or floating point, got bool"),
    ],
)
def test_what_is_wrong_is_told_apart(images, said):
    with pytest.raises(UserError) as error:
        check_images(images)
    assert said in str(error.value)


def test_images_are_taken():
    for images in (
        image(0, 1),
        image(0, 255, dtype=torch.uint8),
        image(0.5, dtype=torch.float16),
        torch.rand(0, 1, 2, 2),
    ):
        check_images(images)
    assert to_unit(image(0, 255, dtype=torch.uint8)).tolist() == image(0, 1).tolist()
    with pytest.raises(UserError, match="expected uint8 or floating point, got int32"):
        to_unit(image(0, 255, dtype=torch.int32))
    with pytest.raises(UserError, match="images: expected a tensor, got 'x'"):
        to_unit("x")


@pytest.mark.parametrize("attack", [Natural(), PGD(steps=1), Square()], ids=lambda attack: attack.name)
@pytest.mark.parametrize(
    ("images", "said"),
    [
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), "got uint8; srat.data.to_unit(images) makes them so"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.long), "expected uint8 or floating point, got int64"),
        (torch.full((2, 1, 4, 4), torch.nan), "got NaN"),
        (torch.full((2, 1, 4, 4), 3.0), "got 3 to 3"),
        (torch.zeros(2, 4, 4), "got shape (2, 4, 4); one channel is added by images[:, None]"),
        (torch.zeros(2, 8, 8, 3), "got shape (2, 8, 8, 3), with the channels last; permute(0, 3, 1, 2)"),
        ("images", "images: expected a tensor, got 'images'"),
    ],
)
def test_attacks_take_none_of_these(attack, images, said):
    own = {"labels": [0, 1], "classes": 2, "seed": 0}
    how = own if isinstance(attack, Square) else {"generator": torch.Generator()}
    with pytest.raises(UserError) as error:
        attack(lambda x: x.flatten(1).sum(1), images, **how)
    assert said in str(error.value)


def test_a_loss_of_nan_is_told_of():
    images, generator = torch.full((3, 1, 4, 4), 0.5), torch.Generator()
    for attack in (FGSM(), PGD(steps=4), PGD(steps=4, restarts=2)):
        attack(lambda x: x.flatten(1).sum(1), images, generator=generator)
        with pytest.warns(UserWarning, match="the loss of 3 of 3 images is NaN"):
            attack(lambda x: x.flatten(1).sum(1) * torch.nan, images, generator=generator)
        with pytest.warns(UserWarning, match="the loss of 1 of 3 images is NaN"):
            attack(lambda x: x.flatten(1).sum(1) / torch.tensor([1, torch.nan, 1]), images, generator=generator)


def test_a_loss_that_was_nan_once_is_told_of():
    factors = iter([1.0, torch.nan, 1.0, 1.0])
    with pytest.warns(UserWarning, match="the loss of 2 of 2 images is NaN"):
        PGD(steps=4)(
            lambda x: next(factors) * x.flatten(1).sum(1), torch.full((2, 1, 4, 4), 0.5), generator=torch.Generator()
        )


@pytest.mark.filterwarnings("ignore:.*cannot reach the edge")
def test_attacks_need_a_loss_of_each_image_and_a_generator():
    images, generator = torch.full((2, 1, 4, 4), 0.5), torch.Generator()
    for loss, said in ((lambda x: x.mean(), "got ()"), (lambda x: x, "got (2, 1, 4, 4)"), (lambda _: 0.0, "got float")):
        with pytest.raises(UserError) as error:
            PGD(steps=1, step_size=8 / 255)(loss, images, generator=generator)
        assert str(error.value) == f"loss_at: expected the loss of each of 2 images, {said}"
    for wrong in (None, 0, "x"):
        with pytest.raises(UserError, match="generator: expected a Generator, got"):
            PGD(steps=1, step_size=8 / 255)(lambda x: x.flatten(1).sum(1), images, generator=wrong)
    with pytest.raises(UserError, match=r"generator: expected a? ?torch.Generator, got numpy.random.Generator"):
        PGD(steps=1, step_size=8 / 255)(lambda x: x.flatten(1).sum(1), images, generator=np.random.default_rng())
    with pytest.raises(UserError, match="loss_at: expected a function, got 3"):
        PGD(steps=1, step_size=8 / 255)(3, images, generator=generator)
    assert (
        PGD(steps=1, step_size=8 / 255)(lambda x: x.flatten(1).sum(1), images.numpy(), generator=generator).shape
        == images.shape
    )
