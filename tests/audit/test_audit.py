"""Robustness that is not real is found out, robustness that is real is not accused."""

import json

import pytest
import torch
from fakes import CAUGHT_BY, EPSILON, HONEST, HONEST_EPSILON, digits, fakes, naive_pgd, subject, trained
from rich.console import Console

from srat.attacks import PGD
from srat.audit import Audit, Check, Entry, Finding, Subject, audit, chosen_checks
from srat.audit.base import judged, stronger
from srat.audit.checks.disjoint import twins
from srat.audit.checks.growing_epsilon import GrowingEpsilon
from srat.data import Dataset
from srat.errors import UserError
from srat.evaluation import Counts, Evaluation, Result
from srat.registry import members
from srat.report.audit import audit_line, conclusion


@pytest.fixture(scope="module")
def planted():
    return fakes()


@pytest.mark.parametrize("name", CAUGHT_BY)
def test_a_naive_attack_believes_the_fakes(planted, name):
    undefended = naive_pgd(trained("natural"), EPSILON)
    assert undefended < 0.2
    assert naive_pgd(planted[name], EPSILON) > max(0.35, 2 * undefended)


# One that costs little is enough here; stability.py looks at all of them.
QUICK = {
    "temperature": ("loss-and-scale", "zero-gradients"),
    "quantised": ("zero-gradients", "transfer"),
    "noise": ("determinism", "transfer"),
    "batch-statistics": ("batch-independence", "transfer"),
    "sigmoid": ("zero-gradients", "transfer"),
    "half": ("half-precision", "zero-gradients"),
}


@pytest.mark.parametrize("name", CAUGHT_BY)
def test_fakes_are_caught(planted, name):
    found = audit(subject(planted[name], epsilon=EPSILON), QUICK[name])
    assert found.verdicts == dict.fromkeys(sorted(QUICK[name]), "fail")
    assert set(QUICK[name]) <= set(CAUGHT_BY[name])


@pytest.mark.parametrize("name", ["black-box", "growing-epsilon", "effort"])
def test_what_asks_for_no_gradient_catches_them_too(planted, name):
    fake = {"effort": "batch-statistics"}.get(name, "sigmoid")
    assert audit(subject(planted[fake], epsilon=EPSILON), [name]).verdict == "fail"


@pytest.mark.parametrize("method", HONEST)
def test_honest_models_pass(method):
    found = audit(subject(trained(method), epsilon=HONEST_EPSILON, images=200))
    assert {name: verdict for name, verdict in found.verdicts.items() if verdict != "pass"} == {}
    assert [entry.check for entry in found.entries if entry.finding is None] == ["interval"]
    assert found.verdict == "pass"


def test_every_file_is_a_check():
    from importlib.resources import files

    names = {path.stem.replace("_", "-") for path in (files("srat.audit") / "checks").iterdir() if path.suffix == ".py"}
    assert {check.name for check in chosen_checks()} == names - {"--init--"}
    assert all(check.question.endswith("?") for check in chosen_checks())
    assert set(members(Check)) == {check.name for check in chosen_checks()}


def test_refuses_a_check_that_there_is_not():
    with pytest.raises(UserError, match="unknown check 'effrot'.*'effort'"):
        chosen_checks(["effrot"])


@pytest.mark.parametrize(("count", "verdict"), [(0, "pass"), (8, "pass"), (14, "warn"), (30, "warn"), (60, "fail")])
def test_verdicts_are_by_the_interval(count, verdict):
    assert judged(count, 500, warn=0.01, fail=0.05) == verdict


def test_few_images_accuse_nobody():
    assert judged(1, 10, warn=0.05, fail=0.1) == "pass"


def test_the_sample_is_of_all_classes_alike():
    labels = torch.tensor([0, 0, 0, 1, 0, 1, 2, 2, 1, 2])
    data = Dataset(torch.arange(10).byte()[:, None, None, None], labels, ("a", "b", "c"))
    chosen = data.sample(6)
    assert chosen.images.flatten().tolist() == [0, 1, 3, 5, 6, 7]
    assert chosen.counts == (2, 2, 2)
    assert len(data.sample(1)) == 3


def test_twins_are_those_that_a_plain_search_finds():
    rng = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(60, 3, 4, 4, generator=rng), (16, 16), mode="bilinear")
    train = Dataset((255 * smooth).byte(), torch.arange(60) % 2, ("a", "b"))
    test_images = (255 * torch.rand(30, 3, 16, 16, generator=rng)).byte()
    test_images[3] = train.images[7]
    test_images[9] = (train.images[40].int() + torch.randint(-3, 4, (3, 16, 16), generator=rng)).clamp(0, 255).byte()
    test_images[11] = 255 - train.images[12]
    test = Dataset(test_images, torch.arange(30) % 2, ("a", "b"))
    near, same = twins(test, train, bits=6, distance=0.04)
    unit = [data.images.float() / 255 for data in (test, train)]
    off = (unit[0][:, None] - unit[1][None]).square().mean(dim=(2, 3, 4)).sqrt().amin(dim=1)
    assert near.nonzero().flatten().tolist() == (off <= 0.04).nonzero().flatten().tolist() == [3, 9]
    assert same.nonzero().flatten().tolist() == [3]


def bare(**facts):
    test = digits()
    model = trained("natural")
    return Subject(model=model, images=test.sample(10), threat=PGD(epsilon=0.1), seed=0, **facts)


def test_test_images_among_the_training_images_fail():
    test = digits()
    (entry,) = audit(bare(test=test, train=test.subset(torch.arange(100))), ["disjoint"]).entries
    assert entry.finding.verdict == "fail"
    assert entry.finding.figures["exact"] == pytest.approx(0.2)


def test_an_imbalanced_test_set_is_told():
    test = digits()
    few = test.subset(torch.cat([(test.labels == c).nonzero().flatten()[: 50 if c else 20] for c in range(10)]))
    assert audit(bare(test=test), ["balance"]).verdict == "pass"
    (entry,) = audit(bare(test=few), ["balance"]).entries
    assert entry.finding.verdict == "warn"
    assert entry.finding.evidence.startswith("20 to 50 test images a class")


@pytest.mark.parametrize(("images", "verdict"), [(50, "warn"), (5000, "pass")])
def test_wide_intervals_are_told(images, verdict):
    counts = Counts(correct=(images // 2,) * 4, total=(images,) * 4)
    results = {name: Result(counts=counts, attack={"name": name}) for name in ("clean", "pgd-20")}
    evaluation = Evaluation(class_names=tuple("abcd"), train_counts=(9, 8, 2, 1), results=results)
    assert audit(bare(evaluation=evaluation), ["interval"]).verdict == verdict


def test_what_is_not_at_hand_is_not_made():
    found = audit(bare(), ["balance", "disjoint", "interval", "transfer"])
    assert found.verdicts == {}
    assert found.verdict == "pass"
    assert conclusion(found).endswith("Not made: balance, disjoint, interval, transfer.")


def test_budgets_double_up_to_grey():
    check = GrowingEpsilon()
    assert check._budgets(bare()) == pytest.approx([0.1, 0.2, 0.4, 128 / 255])
    l2 = Subject(model=trained("natural"), images=digits().sample(10), threat=PGD(norm="l2", epsilon=1.0), seed=0)
    numbers = l2.images.images[0].numel()
    assert check._budgets(l2)[-1] == pytest.approx(128 / 255 * numbers**0.5)
    wide = Subject(model=trained("natural"), images=digits().sample(10), threat=PGD(epsilon=0.9), seed=0)
    assert check._budgets(wide) == [0.9, 0.9]


def test_more_effort_is_the_same_threat():
    more = stronger(PGD(epsilon=0.1, step_size=0.02, steps=20), steps=5, restarts=3, alpha=0.01)
    assert (more.steps, more.restarts, more.step_size, more.epsilon) == (100, 3, 0.01, 0.1)


def test_the_whole_is_as_bad_as_its_worst_part():
    entries = [
        Entry(check=name, question="?", finding=Finding(verdict=verdict, evidence=f"{name} [red]", figures={"x": 0.5}))
        for name, verdict in (("one", "pass"), ("two", "warn"), ("three", "fail"))
    ]
    whole = Audit(entries=tuple(entries))
    assert [Audit(entries=tuple(entries[:n])).verdict for n in (1, 2, 3)] == ["pass", "warn", "fail"]
    assert conclusion(whole) == "The claimed robustness is not to be trusted: three."
    assert conclusion(Audit(entries=tuple(entries[:2]))).endswith("to be said beside it: two.")
    content = json.loads(whole.to_json(images=5))
    assert (content["verdict"], content["images"]) == ("fail", 5)
    assert content["checks"][1] == {
        "check": "two",
        "question": "?",
        "verdict": "warn",
        "evidence": "two [red]",
        "figures": {"x": 0.5},
    }
    console = Console(width=80)
    with console.capture() as capture:
        for entry in (*entries, Entry(check="four", question="?", finding=None)):
            console.print(audit_line(entry, width=5))
    lines = capture.get().splitlines()
    assert lines[0] == "pass      one    one [red]"
    assert lines[3] == "not made  four   what it takes is not at hand"
