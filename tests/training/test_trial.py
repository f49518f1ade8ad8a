"""Models that cannot be trained on the smallest share of a batch are refused before anything is written."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from srat.config.composition import compose
from srat.core.errors import UserError
from srat.data import Dataset
from srat.data.feed import count_batches, smallest_batch
from srat.models import wrap
from srat.models.backbones.small_cnn import SmallCNN
from srat.models.lending import AttackMode
from srat.training.fitting import fit
from srat.training.trial import check_shares, tried


def own(*layers, channels=4):
    """A model of a user's: what a layer makes of maps of one pixel, and a head."""
    first = nn.Sequential(nn.Conv2d(1, channels, 8), *layers, nn.Flatten())
    return wrap(nn.Sequential(first, nn.Linear(channels, 10)), mean=[0.5], std=[0.5])


class OnPairs(nn.Module):
    """What takes an even number of images only, in training."""

    def forward(self, x):
        if self.training and len(x) % 2:
            raise RuntimeError("odd\nnumber of images")
        return x


def config(batch_size):
    return compose(method="ce", epochs=1, batch_size=batch_size)


def data(images):
    return Dataset(torch.rand(images, 1, 8, 8), torch.arange(images) % 10, tuple("0123456789"))


@pytest.mark.parametrize("images", [1, 2, 7, 10, 100])
def test_the_smallest_batch_is_that_of_an_epoch(images):
    for size in range(1, images + 3):
        batches = torch.arange(images).tensor_split(count_batches(images, size))
        assert smallest_batch(images, size) == min(map(len, batches))


class TestShares:
    @pytest.mark.parametrize(
        ("images", "batch_size", "processes", "said"),
        [
            (10, 1, 1, "`batch_size` 1: some batches have one image, .*; `batch_size` 2 is large enough"),
            (3, 2, 1, "`batch_size` 2: some batches have one image, .*; `batch_size` 3 is large enough"),
            (40, 2, 2, "in some batches, one of 2 processes gets one image, .*; `batch_size` 4 is large enough"),
            (10, 6, 3, "in some batches, one of 3 processes gets one image, .*; `batch_size` 10 is large enough"),
            (3, 3, 2, "in some batches, one of 2 processes gets one image, .*; 3 training images are too few"),
            (10, 2, 1, None),
            (40, 4, 2, None),
        ],
    )
    def test_of_one_image_where_batch_norm_needs_two(self, images, batch_size, processes, said):
        check = pytest.raises(UserError, match=said) if said else torch.no_grad()
        with check:
            check_shares(own(nn.BatchNorm2d(4)), data(images), batch_size=batch_size, processes=processes)

    @pytest.mark.parametrize("layer", [nn.Identity(), nn.GroupNorm(2, 4), nn.LayerNorm([4, 1, 1]), nn.BatchNorm2d(4)])
    def test_of_one_image_that_a_model_takes_are_taken(self, layer):
        first = nn.Sequential(nn.Conv2d(1, 4, 7), layer if not isinstance(layer, nn.LayerNorm) else nn.Identity())
        model = wrap(nn.Sequential(first, nn.Flatten(), nn.Linear(16, 10)), mean=[0.5], std=[0.5])
        check_shares(model, data(10), batch_size=1, processes=1)

    @pytest.mark.parametrize("layer", [nn.InstanceNorm2d(4), nn.InstanceNorm2d(4, track_running_stats=True)])
    def test_what_no_batch_mends_gets_no_advice_about_batches(self, layer):
        with pytest.raises(
            UserError, match=r"cannot be trained on batches of 1 .*\(ValueError: .* spatial element"
        ) as e:
            check_shares(own(layer), data(10), batch_size=1, processes=1)
        assert "`batch_size`" not in str(e.value)

    def test_of_other_sizes_are_tried_as_they_are(self):
        check_shares(own(OnPairs()), data(20), batch_size=4, processes=1)
        with pytest.raises(UserError, match=r"on batches of 5 of these images \(RuntimeError: odd number of images\)"):
            check_shares(own(OnPairs()), data(20), batch_size=5, processes=1)

    def test_nothing_is_moved(self):
        layers = (
            nn.Conv2d(1, 4, 7),
            nn.BatchNorm2d(4),
            nn.InstanceNorm2d(4, track_running_stats=True),
            nn.Dropout(0.5),
        )
        model = wrap(nn.Sequential(*layers, nn.Flatten(), nn.Linear(16, 10)), mean=[0.5], std=[0.5])
        model.train()
        images = data(10)
        before, drawn = {n: t.clone() for n, t in model.state_dict().items()}, torch.get_rng_state()
        for mode in AttackMode.__args__:
            assert tried(model, images, 3, mode)[0] is not None
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
        assert torch.equal(torch.get_rng_state(), drawn)
        assert model.training
        assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


class TestFit:
    def test_refuses_before_the_folder_is_made(self, tmp_path):
        with pytest.raises(UserError, match="some batches have one image"):
            fit(config(1), out=tmp_path / "run", model=own(nn.BatchNorm2d(4)), device="cpu")
        assert not list(tmp_path.iterdir())

    def test_small_cnn_takes_batches_of_one(self):
        one = replace(config(1), model=SmallCNN(width=2), imbalance=replace(config(1).imbalance, cap=1, ratio=1))
        assert fit(replace(one, holdout=replace(one.holdout, fraction=0.0)), device="cpu").history

    def test_what_a_users_model_raises_is_one_line(self, tmp_path):
        class Odd(nn.Module):
            def forward(self, x):
                raise KeyError("nothing")

        with pytest.raises(UserError, match=r"model: Sequential does not take images of 1 × 8 × 8 \(KeyError"):
            fit(config(8), out=tmp_path / "run", model=own(Odd()), device="cpu")
