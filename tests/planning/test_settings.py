"""The settings that follow from the data."""

import math

import pytest
import torch
from plans import facts

import srat
from srat.data import Holdout
from srat.data.augmentation.crop_flip import CropFlip
from srat.data.augmentation.no_augmentation import NoAugmentation
from srat.planning.ladder import ladder
from srat.planning.settings import (
    augmented,
    batch_size,
    configured,
    enough_epochs,
    held_out,
    holdout,
    learning_rate,
    most_epochs,
    trained_on,
)


@pytest.mark.parametrize(
    ("images", "batch"),
    [(3, 16), (1_999, 16), (2_000, 32), (15_999, 32), (16_000, 64), (31_999, 64), (32_000, 128), (10**6, 128)],
)
def test_few_images_have_small_batches(images, batch):
    assert batch_size(images) == batch
    assert images / batch_size(images) >= 62 or images < 2_000


def test_the_rate_goes_with_the_root_of_the_batch():
    assert [learning_rate(batch) for batch in (16, 32, 64, 128)] == [0.035, 0.05, 0.071, 0.1]


@pytest.mark.parametrize(
    ("images", "enough", "most"),
    [(700, 35, 137), (13_500, 12, 60), (100, 40, 200), (50_000, 12, 60), (3_000, 16, 64)],
)
def test_epochs_make_enough_updates(images, enough, most):
    assert (enough_epochs(images), most_epochs(images)) == (enough, most)
    steps = math.ceil(images / batch_size(images))
    assert steps * enough >= 1_500 or enough == 40


class TestHeldOut:
    def test_no_more_than_tells_epochs_apart(self):
        assert holdout(facts(50_000, 10, rarest=500), selects=True) == Holdout(fraction=0.01)
        assert holdout(facts(13_500, 43), selects=True) == Holdout(fraction=0.04)
        assert holdout(facts(1_000, 3, rarest=90), selects=True) == Holdout()

    def test_a_small_class_keeps_nine_of_ten_images(self):
        part = holdout(facts(2_000, 10, rarest=10), selects=True)
        assert part.minimum == 1
        assert part.of_class(10) == 1
        assert holdout(facts(2_000, 10, rarest=49), selects=True).minimum == 4
        assert holdout(facts(2_000, 10, rarest=50), selects=True).minimum == Holdout().minimum

    def test_nothing_where_no_epoch_is_chosen(self):
        part = holdout(facts(), selects=False)
        assert (held_out(facts(), part), trained_on(facts(), part)) == (0, 13_500)

    def test_a_validation_part_takes_no_training_images(self):
        own = facts(validation=700)
        part = holdout(own, selects=True)
        assert (held_out(own, part), trained_on(own, part)) == (700, 13_500)
        assert held_out(own, holdout(own, selects=False)) == 0

    def test_it_is_what_training_holds_out(self):
        data = facts(2_000, 10, rarest=30)
        part = holdout(data, selects=True)
        labels = torch.repeat_interleave(torch.arange(10), torch.tensor(data.counts))
        train, held = part.split(labels, seed=0)
        assert (trained_on(data, part), held_out(data, part)) == (len(train), len(held))


def test_shifts_go_with_the_size():
    assert augmented(CropFlip(), (3, 32, 32), 30) == CropFlip()
    assert augmented(CropFlip(), (3, 64, 48), 30) == CropFlip(padding=6)
    assert augmented(CropFlip(), (3, 8, 8), 30) == augmented(CropFlip(), (3, 64, 23), 30) == NoAugmentation()
    assert augmented(NoAugmentation(), (3, 64, 64), 30) == NoAugmentation()


def test_few_epochs_have_the_images_as_they_are():
    assert augmented(CropFlip(), (3, 32, 32), 29) == NoAugmentation()


def test_data_imbalance_seed_and_threat_model_stay():
    asked = srat.compose(data="cifar10", imbalance="exponential", ratio=50, epsilon=4 / 255, step_size=1 / 255, seed=7)
    for candidate in ladder(facts(), "linf"):
        config = configured(asked, facts(), candidate, epochs=9)
        for field in ("data", "imbalance", "seed", "evaluation"):
            assert getattr(config, field) == getattr(asked, field)
        assert config.attack.epsilon == 4 / 255
        assert (config.epochs, config.method, config.model) == (9, candidate.setup.method, candidate.setup.network)
        assert bool(config.holdout.fraction) == candidate.selects
