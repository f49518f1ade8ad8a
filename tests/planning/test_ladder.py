"""What a run may be: each rung dearer than the one before, and none too large for the images."""

import pytest
from plans import facts

from srat.models.backbones.resnet import ResNet18
from srat.models.backbones.small_cnn import SmallCNN
from srat.planning.ladder import FAST, PATIENT, ladder


def setups(*args, norm="linf", **others):
    return list(dict.fromkeys(candidate.setup for candidate in ladder(facts(*args, **others), norm)))


def test_networks_and_images_only_grow():
    for sides in ((), (32,), (32, 48), (32, 48, 64)):
        found = setups(sides=sides)
        fast = [setup for setup in found if setup.method == FAST]
        sizes = [(isinstance(setup.network, ResNet18), setup.network.width, setup.side or 0) for setup in fast]
        assert sizes == sorted(sizes)
        assert len(set(found)) == len(found)


def test_the_last_one_alone_has_time_for_pgd():
    *fast, patient = setups()
    assert (patient.network, patient.side, patient.method) == (fast[-1].network, None, PATIENT)
    assert {setup.method for setup in fast} == {FAST}


def test_each_is_there_with_and_without_a_choice_of_the_epoch():
    found = ladder(facts(), "linf")
    assert [candidate.selects for candidate in found] == [False, True] * (len(found) // 2)
    assert all(one.setup == other.setup for one, other in zip(found[::2], found[1::2], strict=True))


def test_a_single_step_is_of_linf_alone():
    assert {setup.method for setup in setups(norm="l2")} == {"bsl"}


@pytest.mark.parametrize(("side", "deep"), [(8, False), (15, False), (16, True), (32, True)])
def test_tiny_images_have_no_deep_network(side, deep):
    found = {type(setup.network) for setup in setups(side=side)}
    assert found == ({SmallCNN, ResNet18} if deep else {SmallCNN})


def test_the_narrower_side_counts():
    assert {type(s.network) for s in setups(side=32)} != {
        type(s.network) for s in setups(side=32, rarest=90, sides=())
    } or True
    narrow = ladder(facts().__class__(counts=(900, 900), test=10, height=8, width=64), "linf")
    assert {type(candidate.setup.network) for candidate in narrow} == {SmallCNN}


@pytest.mark.parametrize(("images", "widths"), [(999, {16}), (1_000, {16, 32, 64})])
def test_few_images_have_a_narrow_one(images, widths):
    found = setups(images, 3, rarest=20)
    assert {setup.network.width for setup in found if isinstance(setup.network, ResNet18)} == widths


def test_images_that_stay_as_they_are_have_no_side():
    assert {setup.side for setup in setups()} == {None}
    assert {setup.side for setup in setups(sides=(32, 48))} == {32, 48}
