"""Results as CSV files."""

import csv

import pytest
import torch

import srat
from srat.core.errors import UserError
from srat.evaluation.counts import Counts
from srat.evaluation.examples import Examples, Origin
from srat.evaluation.outcome import NEVER, Outcome
from srat.evaluation.probabilities import Bin, Probabilities
from srat.evaluation.record import CLEAN, Evaluation, Result
from srat.report.spreadsheets import write_tables

LABELS = torch.tensor([0, 0, 1, 1, 2])
CLEAN_OUTCOME = Outcome(torch.tensor([NEVER, NEVER, 0, NEVER, NEVER]), torch.tensor([0, 0, 2, 1, 2]))
ATTACKED = Outcome(torch.tensor([3, NEVER, 0, 1, NEVER]), torch.tensor([1, 0, 2, 0, 2]))


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def kept(tmp_path):
    """An evaluation in a folder, of classes with a comma and a quote in their names."""
    areas = (0.5, None, 1.0)
    found = Probabilities(log_loss=1.0, auc=areas, bins=(Bin(images=5, right=4, confidence=0.7),))
    examples = Examples(labels=LABELS, class_names=("a, b", 'say "c"', "ü"), test="t", weights="w", probabilities=found)
    for name, outcome in {CLEAN: CLEAN_OUTCOME, "pgd-20": ATTACKED}.items():
        examples = examples.with_outcome(name, outcome, Origin(attack={"name": name}, seed=0, budget=""))
    path = tmp_path / "evaluation.json"
    evaluation = Evaluation(
        class_names=examples.class_names, train_counts=(9, 5, 1), results=examples.results(), path=path
    )
    path.write_text(evaluation.to_json(), encoding="utf-8")
    examples.write(tmp_path / "examples.safetensors")
    return Evaluation.read(path)


def test_classes(kept, tmp_path):
    write_tables(kept, tmp_path / "out")
    found = rows(tmp_path / "out" / "classes.csv")
    assert [row["class"] for row in found] == ["a, b", 'say "c"', "ü"]
    assert [row["train_images"] for row in found] == ["9", "5", "1"]
    assert [float(row["clean_accuracy"]) for row in found] == [1, 0.5, 1]
    assert [row["clean_precision"] for row in found] == ["1", "1", "0.5"]
    assert [row["auc"] for row in found] == ["0.5", "", "1"]
    accuracy = kept.results["pgd-20"].counts.accuracy([0])
    assert float(found[0]["pgd-20_low"]) == pytest.approx(accuracy.low, abs=1e-5)
    assert float(found[0]["pgd-20_high"]) == pytest.approx(accuracy.high, abs=1e-5)


def test_images(kept, tmp_path):
    write_tables(kept, tmp_path / "out")
    found = rows(tmp_path / "out" / "images.csv")
    assert [row["class"] for row in found] == ["a, b", "a, b", 'say "c"', 'say "c"', "ü"]
    assert [row["pgd-20_predicted"] for row in found] == ['say "c"', "a, b", "ü", "a, b", "ü"]
    assert [row["pgd-20_right"] for row in found] == ["0", "1", "0", "0", "1"]
    assert [row["clean_right"] for row in found] == ["1", "1", "0", "1", "1"]
    assert "file" not in found[0]


def test_confusion(kept, tmp_path):
    files = write_tables(kept, tmp_path / "out")
    assert [file.name for file in files] == ["classes.csv", "images.csv", "confusion-clean.csv", "confusion-pgd-20.csv"]
    found = rows(tmp_path / "out" / "confusion-pgd-20.csv")
    assert [list(row.values()) for row in found] == [
        ["a, b", "1", "1", "0"],
        ['say "c"', "1", "0", "1"],
        ["ü", "0", "0", "1"],
    ]


def test_a_result_that_takes_images_for_no_one_class_is_empty(kept, tmp_path):
    worst = Result(counts=Counts(correct=(1, 0, 1), total=(2, 2, 1)), attack={"name": "worst-case"})
    more = Evaluation(**vars(kept) | {"results": {**kept.results, "worst-case": worst}})
    write_tables(more, tmp_path / "out")
    assert rows(tmp_path / "out" / "classes.csv")[0]["worst-case_f1"] == ""


def test_an_evaluation_that_is_kept_nowhere_has_no_images():
    result = srat.evaluation.record.Result(counts=Counts(correct=(1, 1), total=(1, 1)), attack={})
    with pytest.raises(UserError, match="kept in a run's folder"):
        write_tables(Evaluation(class_names=("a", "b"), train_counts=(1, 1), results={CLEAN: result}), "out")
