"""Augmentations of batches, against Pillow image by image."""

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch.nn import functional as F

from refusals import refusing
from srat.core.errors import UserError
from srat.core.members import choices, choose
from srat.data import Augmentation
from srat.data.augmentation import (
    AutoAugment,
    CropFlip,
    NoAugmentation,
    RandAugment,
    RandomResizedCrop,
    random_crop,
    random_erasing,
    random_flip,
)
from srat.data.augmentation.auto_augment import auto_augment
from srat.data.augmentation.operations import OPERATIONS, number_of, operate
from srat.data.augmentation.rand_augment import rand_augment
from srat.data.augmentation.resized_crop import resized_crop


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(batch=24, channels=3, height=32, width=32, seed=0):
    """Noise, smooth ramps, few levels, one colour: what histograms and edges may be like."""
    noise = torch.randint(256, (batch, channels, height, width), dtype=torch.uint8, generator=seeded(seed))
    ramp = (torch.arange(height)[:, None] * 3 + torch.arange(width) * 4).clamp(max=255).to(torch.uint8)
    noise[1::4] = ramp
    noise[2::4] = noise[2::4] // 60 * 40 + 20
    noise[3::4] = noise[3::4, :, :1, :1]
    return noise


def as_image(pixels):
    array = pixels.permute(1, 2, 0).numpy()
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


def as_pixels(image):
    array = np.asarray(image)
    return torch.from_numpy(array.copy()).view(*array.shape[:2], -1).permute(2, 0, 1)


def warped(image, *matrix):
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST)


# The operations by their definitions in Pillow; m as torchvision has it.
BY_PILLOW = {
    "identity": lambda image, m: image,
    "shear-x": lambda image, m: warped(image, 1, m, 0, 0, 1, 0),
    "shear-y": lambda image, m: warped(image, 1, 0, 0, m, 1, 0),
    "translate-x": lambda image, m: warped(image, 1, 0, -int(m * image.width), 0, 1, 0),
    "translate-y": lambda image, m: warped(image, 1, 0, 0, 0, 1, -int(m * image.height)),
    "rotate": lambda image, m: image.rotate(m, Image.Resampling.NEAREST),
    "brightness": lambda image, m: ImageEnhance.Brightness(image).enhance(1 + m),
    "color": lambda image, m: ImageEnhance.Color(image).enhance(1 + m),
    "contrast": lambda image, m: ImageEnhance.Contrast(image).enhance(1 + m),
    "sharpness": lambda image, m: ImageEnhance.Sharpness(image).enhance(1 + m),
    "posterize": lambda image, m: ImageOps.posterize(image, int(m)),
    "solarize": lambda image, m: ImageOps.solarize(image, m),
    "auto-contrast": lambda image, m: ImageOps.autocontrast(image),
    "equalize": lambda image, m: ImageOps.equalize(image),
    "invert": lambda image, m: ImageOps.invert(image),
}
SIGNED = {"shear-x", "shear-y", "translate-x", "translate-y", "rotate", "brightness", "color", "contrast", "sharpness"}


def strength(name, level, bins):
    """Return the magnitude of a level of so many, as torchvision's tables have it."""
    whole = {
        "shear-x": np.linspace(0, 0.3, bins),
        "shear-y": np.linspace(0, 0.3, bins),
        "translate-x": np.linspace(0, 150 / 331, bins),
        "translate-y": np.linspace(0, 150 / 331, bins),
        "rotate": np.linspace(0, 30, bins),
        "posterize": 8 - np.round(np.arange(bins) / ((bins - 1) / 4)),
        "solarize": np.linspace(255, 0, bins),
        **{name: np.linspace(0, 0.9, bins) for name in ("brightness", "color", "contrast", "sharpness")},
    }
    return float(whole[name][level]) if name in whole else 0.0


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(("channels", "height", "width"), [(3, 32, 32), (1, 28, 28), (3, 17, 40), (1, 8, 8)])
def test_each_operation_is_pillows(name, channels, height, width):
    images = pictures(31, channels, height, width)
    levels = torch.arange(31, dtype=torch.float64) / 30
    for sign in (0, 1):
        got = operate(images, torch.full((31,), number_of(name)), levels, torch.full((31,), sign))
        for level in range(31):
            m = strength(name, level, 31) * (-1 if sign and name in SIGNED else 1)
            wanted = as_pixels(BY_PILLOW[name](as_image(images[level]), m))
            assert torch.equal(got[level], wanted), (name, level, sign)


def test_images_of_the_same_operation_are_changed_together_and_the_others_stay(monkeypatch):
    images, seen = pictures(6), []
    for name in OPERATIONS:
        operation = OPERATIONS[name]

        def spied(images, magnitudes, change=operation.change, name=name):
            seen.append((name, len(images)))
            return change(images, magnitudes)

        monkeypatch.setitem(OPERATIONS, name, operation._replace(change=spied))
    chosen = torch.tensor([number_of(name) for name in ("invert", "rotate", "invert", "identity", "rotate", "invert")])
    before = images.clone()
    changed = operate(images, chosen, torch.full((6,), 0.5, dtype=torch.float64), torch.zeros(6))
    assert sorted(seen) == [("identity", 1), ("invert", 3), ("rotate", 2)]
    assert torch.equal(changed[[0, 2, 5]], 255 - images[[0, 2, 5]])
    assert torch.equal(images, before)


# RandAugment: fourteen operations, the same strength for each, half of the signs turned.
FOURTEEN = [name for name in BY_PILLOW if name != "invert"]


@pytest.mark.parametrize(("operations", "magnitude"), [(2, 8), (1, 30), (3, 0)])
def test_rand_augment_is_that_of_each_image(operations, magnitude):
    images = pictures(40)
    rng = seeded(5)
    drawn = torch.randint(14, (operations, 40), generator=rng)
    signs = torch.randint(2, (operations, 40), generator=rng)
    got = rand_augment(images, operations=operations, magnitude=magnitude, generator=seeded(5))
    for i, pixels in enumerate(images):
        image = as_image(pixels)
        for place in range(operations):
            name = FOURTEEN[drawn[place, i]]
            m = strength(name, magnitude, 31)
            image = BY_PILLOW[name](image, -m if signs[place, i] and name in SIGNED else m)
        assert torch.equal(got[i], as_pixels(image))


def test_rand_augment_draws_its_operations_alike(monkeypatch):
    seen = torch.zeros(len(OPERATIONS))

    def counting(images, chosen, levels, negative):
        nonlocal seen
        seen = seen + chosen.bincount(minlength=len(OPERATIONS))
        assert negative.float().mean().item() == pytest.approx(0.5, abs=0.02)
        return images

    monkeypatch.setattr("srat.data.augmentation.rand_augment.operate", counting)
    rand_augment(torch.zeros(14_000, 1, 1, 1, dtype=torch.uint8), operations=2, magnitude=8, generator=seeded())
    assert seen[number_of("invert")] == 0
    chosen = [seen[number_of(name)].item() for name in FOURTEEN]
    assert chosen == pytest.approx([2000] * 14, abs=4 * 44)


# Table 7 of Cubuk et al., 2019, in the words of its authors.
PAPERS = """
    Invert,0.1,7 Contrast,0.2,6; Rotate,0.7,2 TranslateX,0.3,9; Sharpness,0.8,1 Sharpness,0.9,3;
    ShearY,0.5,8 TranslateY,0.7,9; AutoContrast,0.5,8 Equalize,0.9,2; ShearY,0.2,7 Posterize,0.3,7;
    Color,0.4,3 Brightness,0.6,7; Sharpness,0.3,9 Brightness,0.7,9; Equalize,0.6,5 Equalize,0.5,1;
    Contrast,0.6,7 Sharpness,0.6,5; Color,0.7,7 TranslateX,0.5,8; Equalize,0.3,7 AutoContrast,0.4,8;
    TranslateY,0.4,3 Sharpness,0.2,6; Brightness,0.9,6 Color,0.2,8; Solarize,0.5,2 Invert,0.0,3;
    Equalize,0.2,0 AutoContrast,0.6,0; Equalize,0.2,8 Equalize,0.6,4; Color,0.9,9 Equalize,0.6,6;
    AutoContrast,0.8,4 Solarize,0.2,8; Brightness,0.1,3 Color,0.7,0; Solarize,0.4,5 AutoContrast,0.9,3;
    TranslateY,0.9,9 TranslateY,0.7,9; AutoContrast,0.9,2 Solarize,0.8,3; Equalize,0.8,8 Invert,0.1,3;
    TranslateY,0.7,9 AutoContrast,0.9,1
"""
OURS = {name.replace("-", ""): name for name in BY_PILLOW}


def papers_pairs():
    for pair in PAPERS.split(";"):
        words = [step.split(",") for step in pair.split()]
        yield [(OURS[name.lower()], float(probability), int(level)) for name, probability, level in words]


def test_auto_augment_is_that_of_each_image():
    images, pairs = pictures(200), list(papers_pairs())
    assert len(pairs) == 25
    rng = seeded(3)
    chosen = torch.randint(25, (200,), generator=rng)
    chances = torch.rand(200, 2, generator=rng)
    signs = torch.randint(2, (200, 2), generator=rng)
    got = auto_augment(images, generator=seeded(3))
    for i, pixels in enumerate(images):
        image = as_image(pixels)
        for place, (name, probability, level) in enumerate(pairs[chosen[i]]):
            if chances[i, place] < probability:
                m = strength(name, level, 10)
                image = BY_PILLOW[name](image, -m if signs[i, place] and name in SIGNED else m)
        assert torch.equal(got[i], as_pixels(image))
    assert set(chosen.tolist()) == set(range(25))


@pytest.mark.parametrize(
    ("augmentation", "first"),
    [
        (RandAugment(), lambda x, g: rand_augment(x, operations=2, magnitude=8, generator=g)),
        (AutoAugment(), lambda x, g: auto_augment(x, generator=g)),
    ],
)
def test_both_end_in_crop_and_flip(augmentation, first):
    images, rng = pictures(), seeded(7)
    wanted = random_flip(random_crop(first(images, rng), padding=4, generator=rng), generator=rng)
    assert torch.equal(augmentation(images, generator=seeded(7)), wanted)


@pytest.mark.parametrize("augmentation", [RandAugment(), AutoAugment()])
def test_floating_point_is_as_its_bytes_are(augmentation):
    images = pictures()
    floats = augmentation(images.double() / 255, generator=seeded(1))
    assert floats.dtype == torch.float64
    assert torch.equal((floats * 255).round(), augmentation(images, generator=seeded(1)).double())


@pytest.mark.parametrize("augmentation", [RandAugment(), AutoAugment()])
def test_other_than_grey_and_three_colours_is_refused(augmentation):
    with pytest.raises(
        UserError, match=f"`augmentation` {augmentation.name}: expected images of 1 or 3 channels, got 4"
    ):
        augmentation(pictures(channels=4), generator=seeded())


def test_nothing_random_at_its_least():
    images = pictures()
    assert torch.equal(
        RandAugment(operations=0, padding=0)(images, generator=seeded()),
        CropFlip(padding=0)(images, generator=seeded()),
    )


# Random resized crops.


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.uint8])
def test_a_resized_crop_is_torchs_of_each_image(kind, channels, rng):
    images = torch.rand(6, channels, 15, 22, generator=rng, dtype=torch.float64)
    images = (images * 255).to(kind) if kind == torch.uint8 else images.to(kind)
    boxes = torch.tensor([[0, 0, 15, 22], [3, 4, 7, 9], [14, 21, 1, 1], [0, 10, 15, 1], [5, 0, 2, 22], [1, 1, 13, 20]])
    got = resized_crop(images, boxes)
    assert (got.dtype, got.shape) == (kind, images.shape)
    for image, (top, left, height, width), ours in zip(images, boxes.tolist(), got, strict=True):
        part = image[None, :, top : top + height, left : left + width].double()
        wanted = F.interpolate(part, (15, 22), mode="bilinear", align_corners=False)[0]
        tolerance = 0.51 if kind == torch.uint8 else 1e-5
        torch.testing.assert_close(ours.double(), wanted, rtol=0, atol=tolerance)
    assert torch.equal(got[0], images[0])


def boxes_of(augmentation, batch, height, width, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "srat.data.augmentation.resized_crop.resized_crop", lambda images, boxes: seen.append(boxes) or images
    )
    monkeypatch.setattr("srat.data.augmentation.resized_crop.random_flip", lambda images, generator: images)
    augmentation(torch.zeros(1, 1, height, width).expand(batch, -1, -1, -1), generator=seeded())
    return seen[0].double()


def test_the_crops_have_the_areas_and_ratios_asked_for(monkeypatch):
    top, left, height, width = boxes_of(RandomResizedCrop(area=(0.2, 0.6)), 20_000, 200, 200, monkeypatch).T
    area, ratio = height * width / 200**2, (width / height).log()
    assert 0.195 < area.min() < 0.21
    assert 0.59 < area.max() < 0.605
    assert area.mean().item() == pytest.approx(0.4, abs=0.005)
    assert ratio.exp().aminmax()[0] == pytest.approx(3 / 4, abs=0.02)
    assert ratio.exp().aminmax()[1] == pytest.approx(4 / 3, abs=0.02)
    assert ratio.mean().item() == pytest.approx(0, abs=0.005)
    assert ratio.std().item() == pytest.approx(2 * math.log(4 / 3) / 12**0.5, rel=0.02)
    for start, length in ((top, height), (left, width)):
        assert start.min() == 0
        assert (start + length).max() == 200
        assert (start / (200 - length)).mean().item() == pytest.approx(0.5, abs=0.01)


def test_where_no_crop_fits_the_image_stays_whole(monkeypatch):
    boxes = boxes_of(RandomResizedCrop(area=(0.9, 1.0), ratio=(1.0, 1.0)), 5, 4, 400, monkeypatch)
    assert boxes.tolist() == [[0, 0, 4, 400]] * 5


@pytest.mark.parametrize("field", ["area", "ratio"])
@pytest.mark.parametrize("bounds", [(0.0, 0.5), (0.6, 0.5), (0.5, 101.0), (-1.0, 1.0)])
def test_bounds_are_checked(field, bounds):
    with refusing(f"augmentation.{field}", bounds):
        RandomResizedCrop(**{field: bounds})


# Random erasing.


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_a_rectangle_is_erased_and_all_else_stays(kind):
    images = torch.full((400, 3, 20, 24), 77, dtype=torch.uint8)
    images = images if kind == torch.uint8 else images.to(kind) / 255
    got = random_erasing(images, probability=0.5, generator=seeded())
    changed = (got != images).any(dim=1)
    erased = changed.flatten(1).any(dim=1)
    assert erased.float().mean().item() == pytest.approx(0.5, abs=0.08)
    assert got.min() >= 0
    assert got.max() <= (255 if kind == torch.uint8 else 1)
    shares = []
    for image in changed[erased]:
        rows, columns = image.any(dim=1).nonzero().flatten(), image.any(dim=0).nonzero().flatten()
        inside = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert inside.float().mean() > 0.9  # noise hits 77 in all three channels hardly ever
        shares.append(inside.numel() / (20 * 24))
    assert 0.01 < min(shares) < 0.06
    assert 0.25 < max(shares) <= 0.36
    assert np.mean(shares) == pytest.approx((0.02 + 0.33) / 2, abs=0.02)


def test_the_noise_is_the_same_in_bytes_and_in_floating_point():
    images = pictures(8)
    one, two = (random_erasing(x, probability=1.0, generator=seeded(2)) for x in (images, images.double() / 255))
    assert torch.equal(one.double(), (two * 255).round())
    noise = one[one != images].double()
    assert noise.mean().item() == pytest.approx(127.5, abs=8)
    assert noise.max() > 245


def test_without_erasing_nothing_is_drawn():
    rng = seeded()
    before = rng.get_state()
    images = pictures(3)
    assert random_erasing(images, probability=0.0, generator=rng) is images
    assert torch.equal(rng.get_state(), before)


@pytest.mark.parametrize("kind", [CropFlip, RandAugment, AutoAugment, RandomResizedCrop])
@pytest.mark.parametrize("probability", [-0.1, 1.1])
def test_a_probability_is_checked(kind, probability):
    with refusing("augmentation.erasing", probability):
        kind(erasing=probability)


@pytest.mark.parametrize(
    ("field", "value"), [("operations", -1), ("operations", 15), ("magnitude", -1), ("magnitude", 31)]
)
def test_strengths_are_checked(field, value):
    with refusing(f"augmentation.{field}", value):
        RandAugment(**{field: value})


class TestEveryAugmentation:
    @pytest.fixture(params=[*choices(Augmentation), "erasing"])
    def augmentation(self, request):
        if request.param == "erasing":
            return CropFlip(erasing=1.0)
        return choose(Augmentation, request.param, "augmentation")

    @pytest.fixture(params=[torch.uint8, torch.float32, torch.float64])
    def kind(self, request):
        return request.param

    @pytest.fixture(params=[1, 3])
    def images(self, request, kind):
        bytes_ = pictures(12, request.param, 20, 28)
        return bytes_ if kind == torch.uint8 else bytes_.to(kind) / 255

    def test_keeps_shape_type_and_range_and_repeats_itself(self, augmentation, images):
        before = images.clone()
        one, two = (augmentation(images, generator=seeded(4)) for _ in range(2))
        assert (one.shape, one.dtype) == (images.shape, images.dtype)
        assert torch.equal(one, two)
        assert one.min() >= 0
        assert one.max() <= (255 if one.dtype == torch.uint8 else 1)
        assert torch.equal(images, before)

    def test_the_same_image_twice_in_a_batch_is_changed_twice(self, augmentation):
        images = pictures(1).expand(30, -1, -1, -1)
        changed = augmentation(images, generator=seeded())
        different = len({image.numpy().tobytes() for image in changed})
        assert different == 1 if isinstance(augmentation, NoAugmentation) else different > 15

    def test_takes_a_batch_of_one(self, augmentation):
        assert augmentation(pictures(1), generator=seeded()).shape == (1, 3, 32, 32)
