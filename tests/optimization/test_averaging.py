"""Weight averages against their closed forms."""

import pytest
import torch
from torch import nn

from srat.core.errors import UserError
from srat.optimization.averaging import EMA, FAWA, SWA, NoAveraging, blend_

STEPS, EPOCHS = 4, 5


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.norm = nn.BatchNorm1d(2)
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))


def walk(averaging, steps=STEPS * EPOCHS):
    """Return the average, and the weight at first and after each step, of a model whose weight moves at random."""
    model = Net()
    average, seen = averaging.begin(model), [model.fc.weight.detach().clone()]
    draw = torch.Generator().manual_seed(0)
    for step in range(steps):
        with torch.no_grad():
            model.fc.weight.copy_(torch.randn(2, 2, generator=draw))
            model.norm.running_mean.copy_(model.fc.weight[0])
            model.norm.num_batches_tracked += 1
        blend_(average, model, averaging.share(step, steps=STEPS, epochs=EPOCHS))
        seen.append(model.fc.weight.detach().clone())
    return average, model, seen


def test_ema_is_the_recursion():
    average, _, seen = walk(EMA(decay=0.6, start=0.0))
    expected = seen[0]
    for t, weight in enumerate(seen[1:]):
        d = min(0.6, (1 + t) / (10 + t))
        expected = d * expected + (1 - d) * weight
    torch.testing.assert_close(average.fc.weight, expected)
    assert min(0.6, (1 + t) / (10 + t)) == 0.6  # both parts of the minimum were met


def test_ema_follows_the_weights_until_its_start():
    average, model, _ = walk(EMA(start=0.5), steps=10)
    assert torch.equal(average.fc.weight, model.fc.weight)
    average, model, _ = walk(EMA(start=0.5), steps=11)
    assert not torch.equal(average.fc.weight, model.fc.weight)


def test_ema_of_decay_zero_is_the_weights():
    average, model, _ = walk(EMA(decay=0.0, start=0.0))
    torch.testing.assert_close(average.fc.weight, model.fc.weight)


def test_swa_is_the_mean_of_the_ends_of_epochs():
    average, _, seen = walk(SWA(start=0.4))
    ends = seen[STEPS::STEPS]
    torch.testing.assert_close(average.fc.weight, torch.stack(ends[2:]).mean(dim=0))


def test_swa_begins_where_its_start_says_but_for_rounding():
    shares = [SWA(start=0.29).share(3 * epoch + 2, steps=3, epochs=100) for epoch in range(100)]
    assert shares[28:31] == [1, 1, 1 / 2]  # 0.29 · 100 is 28.999…


def test_swa_is_the_last_end_of_an_epoch_before_its_start():
    average, _, seen = walk(SWA(start=0.8), steps=2 * STEPS + 1)
    assert torch.equal(average.fc.weight, seen[2 * STEPS])


@pytest.mark.parametrize("averaging", [EMA(), SWA()])
def test_statistics_are_averaged_counters_and_masks_copied(averaging):
    average, model, _ = walk(averaging)
    torch.testing.assert_close(average.norm.running_mean, average.fc.weight[0])
    assert int(average.norm.num_batches_tracked) == STEPS * EPOCHS
    assert torch.equal(average.mask, model.mask)


@pytest.mark.parametrize("averaging", [EMA(), SWA()])
def test_what_does_not_move_stays_to_the_bit(averaging):
    model = Net()
    average = averaging.begin(model)
    for step in range(STEPS * EPOCHS):
        blend_(average, model, averaging.share(step, steps=STEPS, epochs=EPOCHS))
    assert all(
        torch.equal(a, b) for a, b in zip(average.state_dict().values(), model.state_dict().values(), strict=True)
    )


def test_an_average_shares_nothing_with_the_model():
    model = Net()
    average = EMA().begin(model)
    ours, theirs = ({t.data_ptr() for t in m.state_dict().values()} for m in (average, model))
    assert not ours & theirs
    assert not average.training
    assert NoAveraging().begin(model) is None


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [(EMA, "decay", 1.0), (EMA, "start", -0.1), (SWA, "start", 1.0), (FAWA, "decay", 1.0), (FAWA, "least", 1.1)],
)
def test_refuses_what_is_out_of_range(kind, field, value):
    with pytest.raises(UserError, match=rf"averaging\.{field}"):
        kind(**{field: value})


def test_fawa_is_the_recursion_over_epochs_whose_worst_class_counts():
    fawa, model = FAWA(decay=0.6, least=0.3), Net()
    average, begun, expected, draw = fawa.begin(model), False, None, torch.Generator().manual_seed(0)
    for worst in (0.1, 0.4, 0.2, 0.3, 0.0):
        with torch.no_grad():
            model.fc.weight.copy_(torch.randn(2, 2, generator=draw))
        share, begun = fawa.share_of_epoch(worst, begun=begun)
        blend_(average, model, share)
        now = model.fc.weight.detach().clone()
        if worst == 0.1:
            assert not begun
            assert torch.equal(average.fc.weight, now)
            continue
        if worst >= 0.3:
            expected = now if expected is None else 0.6 * expected + 0.4 * now
        torch.testing.assert_close(average.fc.weight, expected)
    assert all(fawa.share(step, steps=3, epochs=2) == 0 for step in range(6))


@pytest.mark.parametrize("averaging", [EMA(), SWA(), NoAveraging()])
def test_nothing_is_done_at_the_end_of_an_epoch_unless_asked_for(averaging):
    assert averaging.ends() is None
    assert FAWA().ends() is not None
    assert EMA(batch_norm="clean").ends() is not None
