"""An evaluation that was stopped goes on where it was, and ends as one that never stopped."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from srat.attacks import FGSM, PGD, Natural, Search
from srat.attacks.apgd import APGDCE, APGDT
from srat.core.cadence import Cadence, Every
from srat.data import Dataset
from srat.evaluation import journal as journal_room
from srat.evaluation.journal import FileJournal, Journal, Progress, furthest
from srat.evaluation.observer import Observer
from srat.evaluation.outcome import NEVER, Outcome
from srat.evaluation.survival import outcome
from srat.evaluation.trial import Trial
from srat.models import lent
from srat.models.backbones.small_cnn import small_cnn_backbone
from srat.runtime.processes import Processes


class Stop(KeyboardInterrupt):
    pass


class Clock(Observer):
    """Lets so many steps pass, and stops the evaluation at the next."""

    def __init__(self, steps=10**9):
        self.steps, self.count, self.told = steps, 0, 0

    def images_done(self, count):
        self.count += 1
        self.told += count
        if self.count > self.steps:
            raise Stop


class One(Processes):
    """One of two processes, which hears nothing of the other's part."""

    def sum(self, tensor):
        return tensor

    def told(self, value):
        return value


class Lost(One):
    """One of two processes, of which the other has ended."""

    def sum(self, tensor):
        raise ConnectionError("Connection closed by peer")


@pytest.fixture(scope="module")
def trial():
    torch.manual_seed(0)
    model = nn.Sequential(small_cnn_backbone(1, 4), nn.Linear(32, 5)).eval()
    images = torch.rand(50, 1, 8, 8)
    with torch.no_grad():
        model[1].bias -= model(images).mean(dim=0)
        labels = model(images).argmax(dim=1)
    labels[::9] = (labels[::9] + 1) % 5
    data = Dataset(images, labels, tuple("abcde"))
    with lent(model) as served:
        yield Trial(model=served, dataset=data, seed=3, batch_size=16, observer=Observer())


def journal(folder, rank=0, identity="one", notice=pytest.fail):
    return FileJournal(folder, "pgd-20-eps-0.1", rank=rank, identity={"of": identity}, images=50, notice=notice)


def passes(trial, attack, *, kept=None, steps=10**9):
    """Return what was found, None if it was stopped, and how many passes through the model that took."""
    count = []
    handle = trial.model.register_forward_hook(lambda *_: count.append(1))
    clock = Clock(steps)
    try:
        return outcome(replace(trial, observer=clock), attack, kept), len(count), clock
    except Stop:
        return None, len(count), clock
    finally:
        handle.remove()


EPSILON = {"epsilon": 0.01}
ATTACKS = [
    Natural(),
    FGSM(**EPSILON),
    PGD(**EPSILON, step_size=0.003, steps=4, restarts=3),
    PGD(**EPSILON, step_size=0.003, steps=6),
    APGDCE(**EPSILON),
]


@pytest.mark.usefixtures("short_autoattack")  # 25 steps
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.label)
def test_goes_on_wherever_it_was_stopped(trial, attack, tmp_path):
    whole, cost, clock = passes(trial, attack)
    if not isinstance(attack, Natural):
        assert len(whole.broken_at.unique()) > 2
    assert clock.told == 50
    for steps in range(1, clock.count, max(1, clock.count // 3)):
        nothing, before, _ = passes(trial, attack, kept=journal(tmp_path), steps=steps)
        assert nothing is None
        found, after, resumed = passes(trial, attack, kept=journal(tmp_path))
        assert all(map(torch.equal, found, whole))
        assert resumed.told == 50
        # Images that were on their way begin it again, and a batch of them is not full after the stop.
        assert before + after <= cost + (28 if isinstance(attack, Search) else 8)
        assert after < cost
        journal(tmp_path).remove()
        assert not tmp_path.exists()


@pytest.mark.usefixtures("short_autoattack")
def test_goes_on_at_the_batch_of_the_stage(trial, tmp_path):
    class Twice(APGDCE):
        @property
        def stages(self):
            return (APGDCE(**EPSILON), APGDT(**EPSILON))

    whole, cost, clock = passes(trial, Twice())
    assert set(whole.broken_at.tolist()) == {NEVER, 0, 1, 2}
    assert passes(trial, Twice(), kept=journal(tmp_path), steps=clock.count - 2)[0] is None
    found, after, _ = passes(trial, Twice(), kept=journal(tmp_path))
    assert all(map(torch.equal, found, whole))
    assert 0 < after < cost / 2


def test_one_process_goes_on_where_two_were(trial, tmp_path):
    attack = PGD(**EPSILON, step_size=0.003, steps=4, restarts=2)
    whole, cost, _ = passes(trial, attack)
    for rank, steps in enumerate((5, 2)):
        of_two = replace(trial, processes=One(rank, 2))
        assert passes(of_two, attack, kept=journal(tmp_path, rank), steps=steps)[0] is None
    assert len(list(tmp_path.iterdir())) == 2
    found, after, _ = passes(trial, attack, kept=journal(tmp_path))
    assert all(map(torch.equal, found, whole))
    assert after < cost


def test_what_was_done_is_kept_when_the_other_process_ends(trial, tmp_path):
    kept = FileJournal(tmp_path, "pgd", rank=0, identity={}, images=50, notice=pytest.fail)
    kept._cadence = Cadence(Every(seconds=1e9))
    with pytest.raises(ConnectionError):
        passes(replace(trial, processes=Lost(0, 2)), FGSM(**EPSILON), kept=kept)
    assert (kept.read().rounds == 1).sum() == 25


def test_what_is_of_another_evaluation_is_not_gone_on_with(trial, tmp_path):
    said = []
    journal(tmp_path).write(Progress.none(trial.dataset.labels))
    assert journal(tmp_path, identity="other", notice=said.append).read() is None
    assert "of another evaluation" in said[0]


@pytest.mark.parametrize("damage", [lambda content: content[:-3], lambda content: b"", lambda content: b"\0" * 100])
def test_what_is_damaged_is_said_and_begun_anew(trial, tmp_path, damage):
    said = []
    journal(tmp_path).write(Progress.none(trial.dataset.labels))
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    found, _, _ = passes(trial, Natural(), kept=journal(tmp_path, notice=said.append))
    assert all(map(torch.equal, found, passes(trial, Natural())[0]))
    assert "starting over" in said[0]


def test_names_that_begin_alike_are_told_apart(trial, tmp_path):
    progress = Progress.none(trial.dataset.labels)
    for name in ("pgd-2", "pgd-2-eps-0.1"):
        FileJournal(tmp_path, name, rank=0, identity={}, images=50, notice=pytest.fail).write(progress)
    (tmp_path / ".pgd-2.1.safetensors.0123abcd.tmp").write_bytes(b"half of a file")
    FileJournal(tmp_path, "pgd-2", rank=0, identity={}, images=50, notice=pytest.fail).remove()
    assert [path.name for path in tmp_path.iterdir()] == ["pgd-2-eps-0.1.0.safetensors"]


def test_furthest_by_hand():
    one = Progress(torch.tensor([2, 1, 0]), torch.tensor([1, NEVER, NEVER]), torch.tensor([7, 0, 0]))
    other = Progress(torch.tensor([1, 2, 0]), torch.tensor([NEVER, 5, NEVER]), torch.tensor([0, 8, 0]))
    assert [column.tolist() for column in furthest([one, other])] == [[2, 2, 0], [1, 5, NEVER], [7, 8, 0]]


def test_standing_and_waiting_by_hand():
    progress = Progress.none(torch.zeros(4, dtype=torch.long))
    clean = Outcome(torch.tensor([0, NEVER, NEVER]), torch.tensor([1, 0, 0]))
    progress = progress.noted(torch.tensor([0, 1, 2]), 0, clean)
    progress = progress.noted(torch.tensor([1]), 1, Outcome(torch.tensor([4]), torch.tensor([1])))
    assert progress.standing(0).tolist() == [0, 1, 2, 3]
    assert progress.standing(1).tolist() == [1, 2, 3]
    assert progress.standing(2).tolist() == [2, 3]
    assert progress.waiting(0).tolist() == [False, False, False, True]
    assert progress.waiting(1).tolist() == [False, False, True, False]
    assert progress.through(2).tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("column", "value"), [("rounds", 99), ("rounds", -1), ("predicted", 77), ("predicted", -1), ("broken_at", -2)]
)
def test_what_cannot_be_is_begun_anew(trial, tmp_path, column, value):
    attack = FGSM(**EPSILON)
    progress = Progress.none(trial.dataset.labels)
    getattr(progress, column)[3] = value
    journal(tmp_path).write(progress)
    found, cost, _ = passes(trial, attack, kept=journal(tmp_path))
    whole, of_whole, _ = passes(trial, attack)
    assert all(map(torch.equal, found, whole))
    assert cost == of_whole


def test_another_evaluation_may_remove_the_folder_meanwhile(trial, tmp_path, monkeypatch):
    folder, write = tmp_path / "unfinished", journal_room.write_tensors
    times = []

    def write_late(*args):
        times.append(1)
        if len(times) == 1:
            folder.rmdir()
        write(*args)

    monkeypatch.setattr(journal_room, "write_tensors", write_late)
    one = FileJournal(folder, "one", rank=0, identity={}, images=50, notice=pytest.fail)
    one.write(Progress.none(trial.dataset.labels))
    assert len(times) == 2
    assert one.read() is not None
    (folder / "another.0.safetensors").write_bytes(b"")
    one.remove()
    assert folder.exists()


def test_without_a_journal_nothing_is_kept(trial):
    nothing = Journal()
    nothing.write(Progress.none(trial.dataset.labels))
    assert nothing.read() is None
