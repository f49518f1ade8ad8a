"""A run's page: its numbers against the files, and the page itself in a browser."""

import base64
import io
import math
import re
import shutil
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from srat.attacks import PGD
from srat.audit.base import Finding
from srat.audit.suite import Audit, Entry
from srat.config.composition import compose
from srat.core.errors import UserError
from srat.data import Dataset
from srat.evaluation.counts import Counts
from srat.evaluation.examples import Examples, Origin
from srat.evaluation.feature_map import FeatureMap
from srat.evaluation.groups import grouped
from srat.evaluation.outcome import Outcome
from srat.evaluation.record import CLEAN, Evaluation, Result
from srat.guards import NoGuard
from srat.report.card import model_card
from srat.report.formats.markdown import in_markdown
from srat.report.html.accuracies import groups_of
from srat.report.html.charts import Series, chart, ticks
from srat.report.html.confusion import confusions
from srat.report.html.gallery import LARGEST_SIDE, Opinion, Specimen, make_gallery
from srat.report.html.page import LARGEST_PAGE, coded, render
from srat.report.html.record import RunRecord
from srat.report.html.verdict import verdict_of
from srat.report.wording import budget_text

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "{{ 7 * 7 }}", "naïve 猫 \u202e")
CONFIG = compose(method="srat-ldam", data="digits", epochs=3)
HISTORY = [
    {
        "epoch": epoch,
        "loss": 3.0 - epoch,
        "prediction_loss": 2.0 - epoch / 2,
        "feature_loss": 1.0,
        "anchors_without_positive": 0.1,
        "under_anchors_without_positive": 0.6,
        "train_accuracy": 0.3 + 0.1 * epoch,
        "gradient_norm": 2.0,
        "held_out_clean": 0.5,
        "held_out_robust": 0.25,
        "held_out_under": 0.125,
        "held_out_under_low": 0.0,
        "held_out_under_high": math.nan if epoch == 1 else 0.5,
    }
    for epoch in range(3)
]


def test_other_groups_take_the_place_of_the_papers():
    evaluation = an_evaluation()
    named = grouped("thirds", evaluation.train_counts, evaluation.class_names)
    text = render([a_record(groups=named)])
    assert [name for name, _ in groups_of(a_record(groups=named))] == ["all classes", "head", "middle", "tail"]
    assert "tail, under attack" in text
    assert (
        "rare"
        not in re.sub(r"<style.*?</style>|<script.*?</script>|class=\"[^\"]*\"", "", text, flags=re.DOTALL).split(
            "Class by class"
        )[0]
    )
    assert "of the head classes&#39;" in text
    assert text.count('<span class="tag">tail</span>') == len(named.named["tail"])
    none = grouped("many-medium-few", (500, 400, 200, 150), evaluation.class_names)
    assert "there is no group &#39;few&#39;" in render([a_record(groups=none)])


def test_page_and_card_have_the_last_step_in_a_line():
    evaluation = an_evaluation()
    assert "most papers" not in text_of(render([a_record()]))
    results = dict(evaluation.results)
    last = Counts(correct=(75, 60, 20, 5), total=(100,) * 4)
    results["pgd-20"] = replace(results["pgd-20"], last_step=last)
    record = a_record(evaluation=replace(evaluation, results=results))
    said = "At the last step alone, as most papers count: pgd-20 40.0 [35.3, 44.9] %."
    assert said in text_of(render([record]))
    assert in_markdown(said) in model_card(record, [])


def a_specimen(label=0, after=1, size=8):
    noise = np.random.default_rng(size).integers(0, 255, (size, size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, format="PNG")
    uri = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    before = Opinion(predicted=label, probability=0.9, true_probability=0.9)
    then = Opinion(predicted=after, probability=0.8, true_probability=0.8 if after == label else 0.1)
    return Specimen(label=label, image=uri, change=uri, magnified=5.0, adversarial=uri, before=before, after=then)


def an_evaluation(names=HOSTILE, clean=(90, 80, 60, 40), robust=(70, 60, 20, 3), train=(500, 400, 20, 5)):
    total = (100,) * len(names)
    results = {
        name: Result(counts=Counts(correct=tuple(correct), total=total), attack={"name": name})
        for name, correct in ((CLEAN, clean), ("pgd-20", robust))
    }
    return Evaluation(class_names=tuple(names), train_counts=tuple(train), results=results)


def a_record(**changes):
    points = tuple((float(n), float(n * n % 17)) for n in range(40))
    numbers = {"value": 0.5, "low": 0.25, "high": 0.75}
    scope = {"scope": "overall", "is_class": False, "purity": numbers, "silhouette": numbers, "fisher": numbers}
    return RunRecord(
        **{
            "name": "a <b>run</b>",
            "config": CONFIG,
            "evaluation": an_evaluation(),
            "command": "srat train --data folder --data-dir '</code><script>alert(3)</script>'",
            "history": HISTORY,
            "map": FeatureMap(
                class_names=HOSTILE,
                labels=tuple(n % 4 for n in range(40)),
                points=points,
                separability=(scope,),
                made_with={},
            ),
            "audit": Audit(
                entries=(
                    Entry(check="steps", question="q", finding=Finding(verdict="pass", evidence="<i>fine</i>")),
                    Entry(check="other", question="q", finding=None),
                )
            ),
            "environment": {"device": "cpu"},
            "gallery": [a_specimen(2, 0), a_specimen(0, 0)],
        }
        | changes
    )


def audited(*failed):
    """Return an audit of a check that passes, and of some that fail."""
    entries = [Entry(check="steps", question="q", finding=Finding(verdict="pass", evidence="e"))]
    entries += [Entry(check=name, question="q", finding=Finding(verdict="fail", evidence="e")) for name in failed]
    return Audit(entries=tuple(entries))


def text_of(page):
    """Return the page's text, roughly."""
    import html

    return " ".join(html.unescape(re.sub(r"<(style|script).*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL)).split())


class TestPage:
    def test_has_the_numbers_of_the_evaluation(self):
        said = text_of(render([a_record()]))
        evaluation = an_evaluation()
        for result in evaluation.results.values():
            for classes in (range(4), evaluation.groups.well, evaluation.groups.under, *([c] for c in range(4))):
                accuracy = result.counts.accuracy(classes)
                numbers = [f"{100 * value:.1f}" for value in accuracy]
                assert f"{numbers[0]} [{numbers[1]}, {numbers[2]}]" in said

    def test_strangers_names_stay_text(self):
        page = render([a_record()])
        assert page.count("<script>") == 1
        assert "<img src=x" not in page
        assert "<b>run" not in page
        assert "<i>fine" not in page
        for name in HOSTILE:
            assert " ".join(name.split()) in text_of(page)

    def test_asks_for_nothing_from_elsewhere(self):
        page = render([a_record()])
        assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)", page)
        assert "url(" not in page
        assert "default-src 'none'" in page

    def test_without_what_is_not_there(self):
        page = render([a_record(history=(), map=None, audit=None, gallery=(), environment={}, examples=None)])
        assert "srat audit" in page
        assert "<svg" not in page
        assert "nan" not in text_of(page)

    def test_a_class_without_test_images_is_a_dash(self):
        results = {
            name: Result(counts=Counts(correct=(1, 1, 1, 0), total=(2, 2, 2, 0)), attack={"name": name})
            for name in (CLEAN, "pgd-20")
        }
        page = render([a_record(evaluation=replace(an_evaluation(), results=results))])
        assert 'data-value="-1">–' in page
        assert "nan" not in text_of(page)

    def test_stays_small_by_leaving_out_galleries(self):
        many = [a_record(gallery=[a_specimen(2, 0, size=224)] * 12) for _ in range(2)]
        assert sum(len(one.image) * 36 for record in many for one in record.gallery[:1]) > LARGEST_PAGE
        page = render(many)
        assert len(page.encode()) < LARGEST_PAGE
        assert "<img" not in page
        assert render([a_record()]).count("<img") == 6

    def test_several_stand_side_by_side(self):
        page = render([a_record(), a_record(name="another")], findings=["one is <better>"])
        said = text_of(page)
        assert "one is <better>" in said
        assert "another" in said
        ids = re.findall(r'\bid="([^"]+)"', page)
        assert len(ids) == len(set(ids))


def watched(*epochs, left=(), rare=True):
    """Return a history whose guard has gone back at the ends of these epochs, and has left others as they were."""
    columns = {"guard_probe": 0.3, "guard_trained": 0.5, "guard_ratio": 0.7}
    columns |= {f"{name}_under": value / 2 for name, value in columns.items()} if rare else {}
    return [
        row
        | columns
        | {
            "guard_remedies": sum(e <= row["epoch"] for e in epochs),
            "guard_collapsed": int(row["epoch"] in (*epochs, *left)),
            "guard_rolled_back": int(row["epoch"] in epochs),
        }
        for row in HISTORY
    ]


class TestGuard:
    """What a guard has found and done is told in a sentence, marked in the curves, and drawn."""

    CONFIG = compose(CONFIG, attack="fgsm")

    @pytest.mark.parametrize(
        ("history", "said"),
        [
            (watched(), "A guard looked for catastrophic overfitting after each epoch, and found none."),
            (
                watched(1),
                "A guard found catastrophic overfitting in epoch 2, undid it, and went on with fgsm in 2 steps.",
            ),
            (
                watched(0, 1),
                "A guard found catastrophic overfitting in epochs 1 and 2, undid it, and went on with fgsm in 3 steps.",
            ),
            (
                watched(0, left=(1, 2)),
                "A guard found catastrophic overfitting in epochs 1, 2 and 3, went back to the last good weights after "
                "epoch 1, and went on with fgsm in 2 steps; in the end it let the training go on as it was.",
            ),
            (
                watched(left=(2,)),
                "A guard found catastrophic overfitting in epoch 3; in the end it let the training go on as it was.",
            ),
        ],
    )
    def test_a_sentence(self, history, said):
        assert said in text_of(render([a_record(config=self.CONFIG, history=history)]))

    def test_marks_where_it_went_back(self):
        page = render([a_record(config=self.CONFIG, history=watched(0))])
        plain = render([a_record(config=self.CONFIG, history=watched())])
        charts = page.count('<figure class="chart" ')
        assert page.count("<title>guard goes back</title>") == charts
        assert "guard goes back" not in plain
        x = [float(one) for one in re.findall(r'class="mark" x1="([\d.]+)".*?<title>guard goes back', page)]
        across = [
            float(one) for one in re.findall(r'<text x="([\d.]+)" y="212.0" text-anchor="middle">[12]<', page)[:2]
        ]
        assert all(across[0] < one < across[1] for one in x)

    @pytest.mark.parametrize("rare", [True, False])
    def test_curves(self, rare):
        said = text_of(render([a_record(config=self.CONFIG, history=watched(rare=rare))]))
        for name in ("PGD, all classes", "training attack, all classes"):
            assert name in said
        assert ("PGD, rare classes" in said) == rare

    def test_nothing_where_there_is_none(self):
        assert "uard" not in text_of(render([a_record(config=replace(CONFIG, guard=NoGuard()))])).replace(
            "guard.name none", ""
        )


def test_trouble_of_the_training_is_told_with_its_settings_as_code():
    lost = {"held_out_classes_right": 1, "held_out_classes_silent": 3, "held_out_clean": 0.25}
    page = render([a_record(history=[row | lost for row in HISTORY])])
    assert "After the last epoch, the model predicts one class for all images; try a lower <code>optimizer" in page
    assert "After the last epoch" not in render([a_record()])
    assert coded("<b> `x`") == "&lt;b&gt; <code>x</code>"


class TestVerdict:
    @pytest.mark.parametrize(
        ("robust", "kind"),
        [
            ((70, 60, 50, 45), "good"),
            ((70, 60, 20, 3), "partly"),
            ((40, 30, 20, 20), "bad"),  # 27.5 % [23.3, …] may be the guess of one in four
            ((0, 0, 0, 0), "bad"),
            ((60, 50, 32, 20), "partly"),  # 26.0 % [20.4, …] of the rare classes may be that guess
        ],
    )
    def test_follows_the_numbers(self, robust, kind):
        assert verdict_of(a_record(audit=None, evaluation=an_evaluation(robust=robust))).kind == kind

    def test_always_the_same_class_is_not_robust_however_many_images_it_has(self):
        counts = Counts(correct=(50, 0, 0, 0), total=(50, 10, 5, 5))
        results = {name: Result(counts=counts, attack={"name": name}) for name in (CLEAN, "pgd-20")}
        verdict = verdict_of(a_record(audit=None, evaluation=replace(an_evaluation(), results=results)))
        assert (verdict.kind, verdict.head) == ("bad", "Not robust")

    def test_a_handful_of_rare_images_tells_nothing(self):
        few = Counts(correct=(45, 40, 1, 1), total=(50, 50, 3, 2))
        results = {name: Result(counts=few, attack={"name": name}) for name in (CLEAN, "pgd-20")}
        verdict = verdict_of(a_record(audit=None, evaluation=replace(an_evaluation(), results=results)))
        assert verdict.head == "Robust on common classes"
        assert "too few images" in verdict.sentence

    @pytest.mark.parametrize(
        ("failed", "head"),
        [
            (["effort"], "Its robustness is not real"),
            (["effort", "transfer"], "Its robustness is not real"),
            (["disjoint"], "The test is not independent"),
            (["disjoint", "effort"], "Its robustness is not real, and the test is not independent"),
        ],
    )
    def test_an_audit_that_fails_has_the_last_word(self, failed, head):
        record = a_record(audit=audited(*failed), evaluation=an_evaluation(robust=(90, 90, 90, 90)))
        verdict = verdict_of(record)
        assert (verdict.kind, verdict.head) == ("bad", head)
        assert f"The audit fails: {', '.join(failed)}." in verdict.sentence
        assert ("the training has seen" in verdict.sentence) == (failed == ["disjoint"])
        assert "real" not in verdict.sentence

    # The rules, on made-up records of five classes with 100 test images each; two are rare.
    @pytest.mark.parametrize(
        ("robust", "kind", "head"),
        [
            ((90, 90, 80, 80, 75), "good", "Robust, on rare classes too"),
            ((55, 50, 45, 40, 40), "partly", "46.0 % right under attack, 40.0 % on rare classes"),
            ((90, 90, 80, 60, 0), "partly", "Robust on common classes, not on rare ones"),
            ((90, 90, 0, 20, 16), "partly", "Right under attack: 60.0 % on common classes, 18.0 % on rare classes"),
            ((50, 45, 40, 15, 10), "partly", "Right under attack: 45.0 % on common classes, 12.5 % on rare classes"),
            ((90, 90, 80, 90, 0), "partly", "Robust, but not on e"),
            ((90, 90, 20, 90, 0), "partly", "Robust, but not on e and c"),
            ((99, 99, 20, 99, 20), "partly", "Robust, but not on c and e"),
            ((90, 90, 80, 90, 24), "partly", "Robust, but not surely on e"),
            ((90, 60, 0, 70, 15), "partly", "47.0 % right under attack, but not on c and e"),
            ((60, 60, 26, 60, 23), "partly", "45.8 % right under attack, but not surely on e and c"),
            ((21, 22, 20, 19, 20), "bad", "Not robust"),
        ],
    )
    def test_the_headline_is_of_the_first_rule_that_applies(self, robust, kind, head):
        evaluation = an_evaluation(tuple("abcde"), (90,) * 5, robust, (500, 400, 300, 5, 5))
        verdict = verdict_of(a_record(audit=None, evaluation=evaluation))
        assert (verdict.kind, verdict.head) == (kind, head)

    def test_classes_at_chance_are_counted_where_they_are_many(self):
        names = tuple(f"class {n}" for n in range(43))
        robust = (0,) * 5 + (95,) * 38
        evaluation = an_evaluation(names, (95,) * 43, robust, (500,) * 43)
        assert verdict_of(a_record(audit=None, evaluation=evaluation)).head == "Robust, but not on 5 of 43 classes"
        few = replace(evaluation, class_names=names)
        counts = Counts(correct=(0, 0) + (28,) * 41, total=(30,) * 43)
        few = replace(few, results={name: Result(counts=counts, attack={"name": name}) for name in (CLEAN, "pgd-20")})
        assert verdict_of(a_record(audit=None, evaluation=few)).head == "Robust, but not on class 0 and class 1"

    def test_a_class_without_test_images_is_not_lost(self):
        counts = Counts(correct=(90, 90, 90, 0), total=(100, 100, 100, 0))
        results = {name: Result(counts=counts, attack={"name": name}) for name in (CLEAN, "pgd-20")}
        evaluation = replace(an_evaluation(train=(100,) * 4), results=results)
        assert verdict_of(a_record(audit=None, evaluation=evaluation)).head == "Robust"

    def test_too_few_rare_images_with_a_common_class_at_chance(self):
        counts = Counts(correct=(50, 0, 1, 1), total=(50, 50, 3, 2))
        results = {name: Result(counts=counts, attack={"name": name}) for name in (CLEAN, "pgd-20")}
        evaluation = replace(an_evaluation(names=("a", "b", "c", "d")), results=results)
        verdict = verdict_of(a_record(audit=None, evaluation=evaluation))
        assert verdict.head == "Not robust"
        counts = Counts(correct=(30, 30, 0, 9, 1, 1), total=(30, 30, 30, 30, 3, 3))
        results = {name: Result(counts=counts, attack={"name": name}) for name in (CLEAN, "pgd-20")}
        evaluation = an_evaluation(tuple("abcdef"), (9,) * 6, (9,) * 6, (500, 400, 300, 5, 5, 5))
        verdict = verdict_of(a_record(audit=None, evaluation=replace(evaluation, results=results)))
        assert verdict.head.endswith("but not on c")

    def test_an_unaudited_run_beside_an_audited_one_is_marked_and_looks_no_better(self):
        good = an_evaluation(robust=(90, 90, 90, 90))
        alone = a_record(audit=None, evaluation=good)
        assert verdict_of(alone) == verdict_of(alone, beside_audited=False)
        marked = verdict_of(alone, beside_audited=True)
        assert (marked.kind, marked.head) == ("partly", "Robust, on rare classes too (not audited)")
        checked = a_record(audit=audited(), evaluation=good)
        assert verdict_of(checked, beside_audited=True) == verdict_of(checked)
        lost = a_record(audit=None, evaluation=an_evaluation(robust=(0, 0, 0, 0)))
        assert verdict_of(lost, beside_audited=True).kind == "bad"
        assert "(not audited)" in text_of(render([checked, alone]))
        assert "(not audited)" not in text_of(render([alone, alone]))

    def test_a_rare_class_that_is_lost_is_named(self):
        names = ("a", "b", "c", "d", "lost")
        evaluation = an_evaluation(names, (90,) * 5, (90, 90, 80, 80, 0), (500, 400, 20, 5, 5))
        verdict = verdict_of(a_record(audit=None, evaluation=evaluation))
        assert (verdict.kind, verdict.head) == ("partly", "Robust, but not on lost")
        evaluation = an_evaluation(names, (90,) * 5, (90, 90, 80, 80, 22), (500, 400, 20, 5, 5))
        verdict = verdict_of(a_record(audit=None, evaluation=evaluation))  # 22 % [15, 31] may be the guess of 20
        assert (verdict.kind, verdict.head) == ("partly", "Robust, but not surely on lost")

    def test_which_class_is_the_weakest_is_said_where_it_can_be_told(self):
        names = ("a", "b", "c", "d", "e")
        evaluation = an_evaluation(names, (90,) * 5, (90, 90, 80, 5, 3), (500,) * 5)
        record = a_record(audit=None, evaluation=evaluation)
        verdict = verdict_of(record)
        assert verdict.head == "Robust, but not on e and d"
        assert verdict.sentence.endswith("the weakest class is e with 3.0 [0.6, 9.4] % (d cannot be told from it).")
        page = render([record])
        assert "weakest class under attack: e (d cannot be told from it)" in page
        low, high = (100 * end for end in evaluation.results["pgd-20"].counts.worst().accuracy[1:])
        assert f"<strong>3.0 %</strong> <small>[{low:.1f}, {high:.1f}]</small>" in page
        assert "interval is for the lowest true accuracy of all classes" in page

    def test_the_budget_is_that_of_the_attack_that_is_told(self):
        wide = {"name": "pgd", "norm": "linf", "epsilon": 0.5}
        result = replace(an_evaluation().results["pgd-20"], attack=wide)
        evaluation = replace(an_evaluation(), results={CLEAN: an_evaluation().results[CLEAN], "pgd-20-eps-0.5": result})
        assert "PGD-20-EPS-0.5 (L∞, ε = 0.5)" in verdict_of(a_record(evaluation=evaluation)).sentence

    def test_says_groups_and_the_weakest_class(self):
        said = verdict_of(a_record(audit=None)).sentence
        for number in ("38.2 %", "65.0 %", "11.5 %", "3.0 [0.6, 8.6] %", HOSTILE[3]):
            assert number in said

    def test_is_of_the_worst_case_where_there_is_one(self):
        evaluation = an_evaluation()
        worst = Result(counts=Counts(correct=(1, 1, 1, 1), total=(100,) * 4), attack={"name": "worst-case"})
        record = a_record(evaluation=replace(evaluation, results={**evaluation.results, "worst-case": worst}))
        assert record.threat == "worst-case"
        assert "1.0 %" in verdict_of(record).sentence

    @pytest.mark.parametrize(
        ("attack", "said"),
        [
            (PGD(epsilon=8 / 255, step_size=2 / 255), "L∞, ε = 8/255"),
            (PGD(epsilon=0.1, step_size=0.01), "L∞, ε = 0.1"),
            (PGD(epsilon=0.5, step_size=0.1, norm="l2"), "L2, ε = 0.5"),
        ],
    )
    def test_budgets_are_written_as_people_write_them(self, attack, said):
        assert budget_text(attack) == said


def examples_of(labels, broken_at, predicted, names):
    outcome = Outcome(torch.tensor(broken_at), torch.tensor(predicted))
    clean = Outcome(torch.tensor([-1] * len(labels)), torch.tensor(labels))
    origin = Origin(attack={"name": "pgd-20"}, seed=0, budget="")
    return Examples(
        labels=torch.tensor(labels),
        class_names=names,
        test="t",
        weights="w",
        outcomes={CLEAN: clean, "pgd-20": outcome},
        origins={CLEAN: origin, "pgd-20": origin},
    )


def test_balanced_data_have_no_rare_classes():
    labels = [c for c in range(4) for _ in range(5)]
    evaluation = an_evaluation(train=(100,) * 4, robust=(90, 90, 90, 90))
    record = a_record(audit=None, evaluation=evaluation, examples=examples_of(labels, [-1] * 20, labels, HOSTILE))
    assert verdict_of(record).head == "Robust"
    said = text_of(render([record, record]))
    page = render([record])
    assert 'class="tag"' not in page
    assert "track rare" not in page
    assert "common classes" not in text_of(page)
    assert "Side by side" in said
    assert len(confusions(record)[0].taken) == 4


def test_natural_training_shows_nothing_attacked():
    record = a_record(config=compose(method="natural", data="digits", epochs=3))
    assert "held out, attacked" not in render([record])


class TestConfusion:
    def test_is_counted_as_naive_loops_count(self, rng):
        labels = torch.randint(0, 4, (200,), generator=rng).tolist()
        predicted = torch.randint(0, 4, (200,), generator=rng).tolist()
        # An image may be broken by NaN logits, the largest of which is the true class's.
        broken_at = [-1 if predicted[i] == labels[i] and i % 5 else 3 for i in range(200)]
        record = a_record(examples=examples_of(labels, broken_at, predicted, HOSTILE))
        attacked, clean = confusions(record)
        assert (attacked.result, clean.result) == ("pgd-20", CLEAN)
        for c in range(4):
            own = [i for i in range(200) if labels[i] == c]
            for other in range(4):
                right = sum(broken_at[i] == -1 for i in own)
                wrong = sum(broken_at[i] != -1 and predicted[i] == other for i in own)
                expected = right if other == c else wrong
                assert attacked.table[c][other] == pytest.approx(100 * expected / len(own))
            assert clean.table[c][c] == 100

    def test_the_rarest_come_first_with_what_most_take_them_for(self):
        labels = [2] * 10 + [3] * 10
        predicted = [0] * 6 + [1] * 3 + [2] + [0] * 10
        record = a_record(examples=examples_of(labels, [1] * 9 + [-1] + [1] * 10, predicted, HOSTILE))
        taken = confusions(record)[0].taken
        assert taken == [(3, 0.0, [(0, 100.0)]), (2, 10.0, [(0, 60.0), (1, 30.0)])]

    def test_a_class_without_images_is_taken_for_nothing(self):
        record = a_record(examples=examples_of([0, 2], [-1, -1], [0, 2], HOSTILE))
        assert [c for c, *_ in confusions(record)[0].taken] == [2]

    def test_of_many_classes_only_the_rare_ones_are_told(self):
        names = tuple(f"class {c}" for c in range(100))
        labels = list(range(100))
        record = a_record(
            evaluation=an_evaluation(names, (50,) * 100, (25,) * 100, tuple(range(100, 0, -1))),
            examples=examples_of(labels, [-1] * 100, labels, names),
        )
        found = confusions(record)[0]
        assert len(found.table) == 0
        assert len(found.taken) == 50
        assert len(render([record]).encode()) < 500_000


class TestCharts:
    @given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
    def test_ticks_are_round_and_hold_the_range(self, low, width):
        found = ticks(low, low + width)
        slack = 1e-6 * (abs(low) + width)
        assert found[0] <= low + slack
        assert found[-1] >= low + width - slack
        assert 2 <= len(found) <= 12
        steps = np.diff(found)
        assert np.allclose(steps, steps[0], rtol=1e-3, atol=slack)

    def test_points_lie_where_the_axes_say(self):
        drawn = chart("t", "", [Series(name="s", values=[0.0, 5.0, 10.0])], marks=[(1, "m"), (7, "beyond")])
        first, middle, last = ([float(x) for x in p.split(",")] for p in drawn.curves[0].line[1:].split(" L"))
        ups = {tick.text: tick.at for tick in drawn.up}
        assert (first[1], last[1]) == pytest.approx((ups["0"], ups["10"]), abs=0.06)
        assert middle[0] == pytest.approx((first[0] + last[0]) / 2, abs=0.06)
        assert {tick.text: tick.at for tick in drawn.across} == pytest.approx(
            {"1": first[0], "2": middle[0], "3": last[0]}, abs=0.06
        )
        assert [mark.text for mark in drawn.marks] == ["m"]
        assert first[0] < drawn.marks[0].at < middle[0]

    def test_numbers_that_are_none_are_left_out(self):
        drawn = chart("t", "", [Series(name="s", values=[1.0, math.nan, 2.0])])
        assert (drawn.curves[0].line.count(","), len(drawn.curves[0].alone)) == (2, 2)
        assert "NaN" not in drawn.hover
        assert "nan" not in drawn.curves[0].summary

    def test_one_epoch_is_a_point(self):
        [curve] = chart("t", "", [Series(name="s", values=[1.0])]).curves
        assert len(curve.alone) == 1
        assert "<circle" in render([a_record(history=HISTORY[:1], map=None)])

    def test_nothing_is_drawn_over_a_gap(self):
        values = [1.0, 2.0, math.nan, 3.0, 4.0]
        [curve] = chart("t", "", [Series(name="s", values=values, low=values, high=values)]).curves
        assert (curve.line.count("M"), curve.band.count("Z")) == (2, 2)


class Threshold(nn.Module):
    """Class 1 where the mean is above a half, by a slope."""

    def __init__(self, cut=0.5):
        super().__init__()
        self.cut = nn.Parameter(torch.tensor(cut))

    def forward(self, images):
        score = 40 * (images.flatten(1).mean(dim=1) - self.cut)
        return torch.stack((-score, score), dim=1)


class TestGallery:
    ATTACK = PGD(epsilon=0.1, step_size=0.05, steps=5)

    def made(self, levels, labels, order=(1, 0), **options):
        images = torch.tensor(levels)[:, None, None, None].expand(-1, 3, 6, 6).contiguous()
        test = Dataset((255 * images).round().byte(), torch.tensor(labels), ("a", "b"))
        return make_gallery(Threshold(), test, self.ATTACK, order=order, most=12, seed=0, **options)

    def test_what_breaks_comes_first_in_order_then_what_holds_and_nothing_that_is_wrong_as_it_is(self):
        found = self.made([0.45, 0.55, 0.1, 0.9, 0.9], [0, 1, 0, 1, 0])
        assert [(one.label, one.holds) for one in found] == [(1, False), (0, False), (1, True), (0, True)]
        assert found[0].after.predicted == 0
        assert found[0].before.true_probability > 0.5 > found[0].after.true_probability

    def test_pictures_are_the_images_and_within_the_budget(self):
        one = self.made([0.45, 0.55], [0, 1])[0]

        def pixels(uri):
            return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))).astype(float) / 255

        image, adversarial, change = map(pixels, (one.image, one.adversarial, one.change))
        assert image == pytest.approx(0.55, abs=1 / 255)
        assert np.abs(adversarial - image).max() <= 0.1 + 1 / 255
        assert one.magnified == pytest.approx(5)
        assert change == pytest.approx(0.5 + 5 * (adversarial - image), abs=0.03)

    def test_large_images_are_shown_smaller(self):
        images = torch.full((2, 3, 224, 200), 0.55)
        test = Dataset((255 * images).round().byte(), torch.tensor([1, 1]), ("a", "b"))
        [one] = make_gallery(Threshold(), test, self.ATTACK, order=(1, 0), most=12, seed=0)
        shown = Image.open(io.BytesIO(base64.b64decode(one.image.split(",")[1])))
        assert shown.size == (100, LARGEST_SIDE)

    @pytest.mark.parametrize("channels", [2, 4, 5])
    def test_other_channels_are_no_pictures(self, channels):
        test = Dataset(torch.zeros(2, channels, 4, 4, dtype=torch.uint8), torch.tensor([0, 1]), ("a", "b"))
        with pytest.raises(UserError, match=f"images of {channels} channels"):
            make_gallery(Threshold(), test, self.ATTACK, order=(0, 1), most=2, seed=0)

    def test_only_classes_that_may_be_shown_are_attacked(self):
        seen = []

        class Counting(Threshold):
            def forward(self, images):
                seen.append(len(images))
                return nn.functional.pad(super().forward(images), (0, 98))

        images = torch.full((3_000, 1, 4, 4), 140, dtype=torch.uint8)
        test = Dataset(images, torch.arange(3_000) % 100, tuple(f"{c}" for c in range(100)))
        make_gallery(Counting(), test, self.ATTACK, order=range(100), most=12, seed=0)
        assert max(seen) <= 250
        assert sum(seen) == 12 * 24 * (self.ATTACK.steps + 2)

    def test_leaves_the_model_as_it_was(self):
        model = Threshold().train()
        images = torch.full((2, 1, 4, 4), 140, dtype=torch.uint8)
        make_gallery(
            model, Dataset(images, torch.tensor([1, 0]), ("a", "b")), self.ATTACK, order=(0, 1), most=2, seed=0
        )
        assert model.training
        assert model.cut.grad is None


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    with sync_api.sync_playwright() as playwright:
        words = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=words)
        yield started
        started.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Open a page of records; returns it and what it has said and asked for."""
    contexts = []

    def open_(records, findings=(), **options):
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        contexts.append(context)
        page, said = context.new_page(), []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: said.append(request.url) if request.url.startswith(("http", "ws")) else None)
        (tmp_path / "report.html").write_text(render(records, findings=findings))
        page.goto((tmp_path / "report.html").as_uri())
        return page, said

    yield open_
    for context in contexts:
        context.close()


def full_record():
    labels = [c for c in range(4) for _ in range(10)]
    predicted = [(c + (i % 10) // 4) % 4 for i, c in enumerate(labels)]
    broken = [-1 if guess == label else 2 for guess, label in zip(predicted, labels, strict=True)]
    return a_record(examples=examples_of(labels, broken, predicted, HOSTILE))


LONG = tuple(f"chestnut_mandibled_toucanet_of_the_western_cordillera_{n:02d}_x" for n in range(40))


def long_record():
    """A run of forty classes whose names have sixty characters and differ near their end."""
    classes = len(LONG)
    down = [90 - c for c in range(classes)]
    evaluation = an_evaluation(LONG, down, [each - 20 for each in down], [500 - c for c in range(classes)])
    labels = list(range(classes)) * 2
    examples = examples_of(labels, [2] * len(labels), [(c + 1) % classes for c in labels], LONG)
    drawn = FeatureMap(
        class_names=LONG,
        labels=tuple(range(classes)),
        points=tuple((float(n), float(n % 7)) for n in range(classes)),
        separability=(),
        made_with={},
    )
    return a_record(evaluation=evaluation, examples=examples, map=drawn, gallery=[a_specimen(0, 1)])


def test_long_names_are_shortened_in_the_middle_and_stay_apart():
    page = render([long_record()])
    shown = re.findall(r'<tr><th scope="row"><span title="([^"]*)">([^<]*)</span>', page)
    assert set(LONG) <= {name for name, _ in shown}
    assert len({short for _, short in shown}) == len(LONG)
    assert all(short.startswith("chestnut_") and "…" in short and short.endswith("_x") for _, short in shown)
    assert all(len(short) <= 40 for _, short in shown)


class TestInABrowser:
    def test_nothing_is_said_asked_for_or_run(self, opened):
        page, said = opened([full_record()])
        assert page.locator("table.sortable tbody th").nth(0).inner_text().startswith(HOSTILE[0])
        assert page.locator("main img").count() == 6
        assert page.locator("body script").count() == 1
        assert said == []

    def test_tables_sort_by_a_key(self, opened):
        page, said = opened([full_record()])
        values = "cells => cells.map(cell => Number(cell.dataset.value))"

        def order():
            return page.locator("table.sortable tbody:first-of-type tr td.bar:last-child").evaluate_all(values)

        before = order()
        heading = page.locator("table.sortable thead th:last-child")
        heading.locator("button").focus()
        page.keyboard.press("Enter")
        assert order() == sorted(before)
        assert heading.get_attribute("aria-sort") == "ascending"
        page.keyboard.press("Enter")
        assert order() == sorted(before, reverse=True)
        page.keyboard.press("Enter")
        assert order() == before
        assert said == []

    def test_legends_hide_and_show(self, opened):
        page, said = opened([full_record()])
        button = page.locator(".map .legend button").nth(1)
        points = page.locator('.map g[data-series="1"]')
        button.click()
        assert not points.is_visible()
        assert button.get_attribute("aria-pressed") == "false"
        button.click()
        assert points.is_visible()
        assert said == []

    def test_an_epoch_is_read_by_pointer_and_by_key(self, opened):
        page, said = opened([full_record()])
        chart_ = page.locator(".chart[data-epochs]").first
        readout, cursor = chart_.locator(".readout"), chart_.locator(".cursor")
        shown = "line => getComputedStyle(line).display"
        assert cursor.evaluate(shown) == "none"
        box = chart_.locator("svg").bounding_box()
        chart_.locator("svg").hover(position={"x": box["width"] - 5, "y": 40})
        assert readout.inner_text().startswith("epoch 3: training images, attacked 50 %")
        assert cursor.evaluate(shown) != "none"
        chart_.locator("svg").focus()
        page.keyboard.press("ArrowLeft")
        assert readout.inner_text().startswith("epoch 2: training images, attacked 40 %")
        assert said == []

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_both_themes_can_be_read(self, opened, scheme):
        page, said = opened([full_record()], color_scheme=scheme)
        contrast = """() => {
          const light = (color) => {
            const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map((v) => v / 255)
              .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const paper = light(getComputedStyle(document.body).backgroundColor);
          const shown = ["h1", "p", "small", ".tag", ".key", ".key.rare", ".badge", ".legend li", "a", "caption", "dt"];
          return shown.map((name) => {
            const ink = light(getComputedStyle(document.querySelector("main").querySelector(name)).color);
            return [name, (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05)];
          });
        }"""

        def faint():
            return [(name, ratio) for name, ratio in page.evaluate(contrast) if ratio < 3.5]

        assert faint() == []
        page.locator("button.theme").click()
        assert page.evaluate("document.documentElement.dataset.theme") != scheme
        assert faint() == []
        assert said == []

    @pytest.mark.parametrize("width", [360, 768, 1600])
    def test_the_page_is_never_wider_than_the_screen(self, opened, width):
        page, said = opened([full_record()], viewport={"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert said == []

    def test_accuracies_as_they_are_and_under_attack_fit_on_a_phone(self, opened):
        page, _ = opened([full_record()], viewport={"width": 360, "height": 800})
        columns = page.locator("table.sortable thead th").count()
        region = page.get_by_role("region", name="Accuracy of each class")
        assert columns == 4  # with more results it scrolls
        assert region.evaluate("one => one.scrollWidth - one.clientWidth") <= 0

    @pytest.mark.parametrize("width", [390, 1200])
    def test_long_names_leave_the_columns_their_room(self, opened, width):
        page, said = opened([long_record(), long_record()], viewport={"width": width, "height": 800})
        page.locator("details.run").evaluate_all("all => all.forEach(one => { one.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        heads = page.locator("table.sortable tbody th, table.confusion tbody th")
        sizes = heads.evaluate_all("all => all.map(one => [one.offsetWidth, one.offsetHeight])")
        assert max(each for each, _ in sizes) <= 0.45 * width
        table = page.locator("details.run table.sortable").first.locator("tbody th")
        lines = table.evaluate_all("all => all.map(one => one.offsetHeight)")
        assert max(lines) < (150 if width == 390 else 75)
        aligned = page.locator(".legend button").evaluate_all("all => all.map(one => getComputedStyle(one).textAlign)")
        assert set(aligned) <= {"left", "start"}
        assert said == []

    def test_can_be_read_without_javascript(self, opened):
        page, said = opened([full_record()], java_script_enabled=False)
        assert page.locator("button").count() == 0
        for heading in ("Class by class", "What images are taken for", "Training", "Features", "Configuration"):
            assert page.get_by_role("heading", name=heading).is_visible()
        assert page.locator(".readout").first.inner_text() == ""
        assert said == []

    def test_a_screen_reader_has_headings_names_and_alternatives(self, opened):
        page, _ = opened([full_record()])
        assert page.get_by_role("main").count() == 1
        levels = page.locator("h1, h2, h3").evaluate_all("all => all.map(one => Number(one.tagName[1]))")
        assert levels[0] == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        assert page.locator("img:not([alt])").count() == 0
        assert page.locator("svg:not([aria-label])").count() == 0
        assert page.locator("button").evaluate_all("all => all.every(one => one.textContent.trim() || one.ariaLabel)")

    def test_prints(self, opened):
        page, _ = opened([full_record()])
        assert page.pdf().startswith(b"%PDF")

    def test_several_side_by_side(self, opened):
        page, said = opened([full_record(), a_record(name="b")], findings=["<b>x</b>"])
        assert page.locator("details.run").count() == 2
        page.locator("details.run summary").first.click()
        assert page.locator("details.run").first.get_by_role("heading", name="Configuration").is_visible()
        assert page.get_by_text("<b>x</b>").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 1200
        assert said == []
