"""What people look at, read back as text."""

import io
import math
import os
import sys
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from rich.console import Console
from rich.progress import TimeRemainingColumn

from srat.core.errors import printable
from srat.evaluation.counts import Counts
from srat.evaluation.record import Evaluation, Result
from srat.report.terminal.distribution import distribution_table, draw_distribution
from srat.report.terminal.live import LiveObserver, make_bar, make_console
from srat.report.terminal.table import (
    accuracy_cell,
    best_line,
    class_table,
    notes,
    print_evaluation,
    trained_on,
    worst_line,
)
from srat.statistics.intervals import Accuracy


def shown(*things, width=100, terminal=False):
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    for thing in things:
        console.print(thing)
    return console.file.getvalue()


@pytest.fixture
def evaluation():
    results = {
        "clean": Result(counts=Counts(correct=(90, 50, 20), total=(100, 100, 100)), attack={}),
        "pgd-20": Result(counts=Counts(correct=(60, 30, 0), total=(100, 100, 100)), attack={}),
    }
    return Evaluation(class_names=("rare [red]", "middle", "common"), train_counts=(5, 50, 500), results=results)


def test_rows_come_from_common_to_rare(evaluation):
    lines = shown(class_table(evaluation, title="a run")).splitlines()
    assert lines[0].strip() == "a run"
    firsts = [line.split()[0] for line in lines if line.strip()]
    assert firsts[1:] == [
        "class",
        firsts[2],
        "common",
        "middle",
        "rare",
        "overall",
        "common",
        "rare",
        "worst",
    ]


def test_numbers_stand_where_they_belong(evaluation):
    text = shown(class_table(evaluation, title="a run"))
    row = next(line for line in text.splitlines() if "rare [red]" in line)
    assert row.split()[:4] == ["rare", "[red]", "rare", "5"]
    assert "90.0" in row
    assert "60.0" in row
    overall = next(line for line in text.splitlines() if "overall" in line)
    assert "53.3" in overall
    assert "555" in overall
    worst = next(line for line in text.splitlines() if "worst" in line)
    assert accuracy_cell(evaluation.results["clean"].counts.worst().accuracy) in worst
    assert "20.0" in worst


@pytest.mark.parametrize("width", [60, 80, 200])
def test_every_line_is_of_one_width(evaluation, width):
    lines = shown(class_table(evaluation, title="t"), width=width).splitlines()
    assert max(map(len, lines)) <= width


def test_many_attacks_stand_in_several_tables(evaluation, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    results = {f"pgd-{steps}": evaluation.results["pgd-20"] for steps in range(100, 105)}
    console = Console(file=io.StringIO(), width=100, color_system=None)
    several = replace(evaluation, results={**evaluation.results, **results})
    print_evaluation(console, several, title="t", held_out=1)
    text = console.file.getvalue()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 100
    assert all(text.count(f"{name} % [95 % interval]") == 1 for name in ("clean", "pgd-20", *results))
    assert text.count("\nworst class") + text.count("\n worst class") == 4
    assert text.count("The weights learned from") == 1
    assert "; 1 more was held out." in text


@pytest.mark.parametrize(
    ("counts", "held_out", "said"),
    [
        ((500, 50), 0, "500 to 50 images per class (10.0 : 1)."),
        ((500, 50), 1200, "500 to 50 images per class (10.0 : 1); 1,200 more were held out."),
        ((7, 7), 0, "7 images per class (1.0 : 1)."),
        ((7, 0), 0, "7 to 0 images per class (some classes are empty)."),
    ],
)
def test_what_the_weights_learned_from(counts, held_out, said):
    evaluation = Evaluation(class_names=("a", "b"), train_counts=counts)
    assert trained_on(evaluation, held_out) == f"The weights learned from {said}"


def test_letters_and_emoji_that_are_joined_stay_so():
    for name in ("می\u200cخواهم", "👩\u200d👩\u200d👧\u200d👦 family"):
        assert printable(name) == name


def test_accuracy_cell():
    assert accuracy_cell(Accuracy(0.612, 0.5978, 0.626)) == "61.2  [59.8,  62.6]"
    assert accuracy_cell(Accuracy(math.nan, 0.0, 1.0)) == "–"


def test_balanced_tests_need_no_note(evaluation):
    assert notes(evaluation) == []


def test_the_worst_class_is_named_with_what_its_interval_is_for(evaluation):
    said = worst_line(evaluation)
    told = "common (clearly below all others)"
    assert said.startswith(f"Worst class, clean: {told}; pgd-20: {told}. Its interval is for the lowest true accuracy")


def test_best_line(evaluation):
    assert (
        best_line(evaluation, 7) == "The held-out part chooses epoch 7. It has on test images, in %: "
        "clean 53.3 [47.7, 58.9] (rare 90.0 [82.6, 94.5]), pgd-20 30.0 [25.1, 35.4] (rare 60.0 [50.2, 69.1])"
    )


def test_control_characters_do_not_reach_the_terminal():
    assert printable("a\x1b[31m\nb\u202ec") == "a�[31m�b�c"


def test_distribution(tmp_path):
    text = shown(distribution_table(("cat", "dog"), (100, 10), (100, 200), title="t"))
    cat, dog = (next(line for line in text.splitlines() if name in line) for name in ("cat", "dog"))
    assert cat.count("█") == 32
    assert dog.count("█") == 3
    draw_distribution([str(c) for c in range(100)], list(range(200, 100, -1)), tmp_path / "d.png", title="t")
    assert (tmp_path / "d.png").stat().st_size > 5000


ROW = {
    "epoch": 1,
    "loss": 1.2345,
    "train_accuracy": 0.5,
    "held_out_robust": 0.25,
    "held_out_clean": 0.75,
    "weights_apply": 1,
}


def test_progress_in_a_terminal_is_a_bar():
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    with LiveObserver(console) as observer:
        observer.training(epochs=2, steps=3, done=3)
        for _ in range(3):
            observer.step()
        observer.epoch(ROW)
    last = console.file.getvalue().split("training")[-1]
    said = (
        "6/6",
        "left",
        "epoch 2/2 loss 1.234",
        "attacked: train 50.0 %",
        "held out 25.0 % (clean 75.0 %)",
        "weighted",
    )
    assert all(word in " ".join(last.split()) for word in said)
    # The cursor is back.
    assert "\x1b[?25h" in last


def test_an_evaluation_can_end_between_two_batches_and_a_training_ends_by_itself():
    asked = []
    observer = LiveObserver(Console(file=io.StringIO()), lambda: asked.append(True))
    observer.step()
    assert not asked
    observer.images_done(3)
    assert asked


def test_progress_elsewhere_is_a_line_an_epoch():
    console = Console(file=io.StringIO(), width=40)
    observer = LiveObserver(console)
    observer.training(epochs=12, steps=1, done=0)
    observer.epoch(ROW)
    observer.evaluating("clean", images=3)
    observer.images_done(3)
    observer.finished()
    text = console.file.getvalue()
    assert text.splitlines()[0].startswith("epoch  2/12  loss 1.23")
    assert text.splitlines()[1:] == ["evaluating clean …"]


def test_what_goes_on_says_where_and_notices_are_seen():
    console = Console(file=io.StringIO(), width=40)
    observer = LiveObserver(console)
    observer.training(epochs=4, steps=5, done=7)
    observer.notice("x.safetensors: damaged [bold]; going on from the one before it")
    first, second = console.file.getvalue().splitlines()
    assert first == "continuing from epoch 2, step 2"
    assert second == "note: x.safetensors: damaged [bold]; going on from the one before it"


class Clock:
    """Moves only when it is told to."""

    now = 1_000.0

    def __call__(self):
        return self.now


def paced(seconds, steps, *, of=100, epochs=2, terminal=False):
    """Return what is said of a training whose steps take so many seconds each, the first a minute more."""
    clock = Clock()
    console = Console(file=io.StringIO(), width=80, force_terminal=terminal, color_system=None)
    observer = LiveObserver(console, clock=clock)
    observer.training(epochs=epochs, steps=of, done=0)
    clock.now += 60 - 1e-6
    for _ in range(steps):
        clock.now += seconds
        observer.step()
    observer.finished()
    return console.file.getvalue()


def test_a_long_training_says_how_long_it_will_take_and_then_a_line_a_minute():
    said = paced(seconds=20.0, steps=8).splitlines()
    # The first step, which sets up, does not count: 198 steps of 20 s are left after the second.
    assert said[0] == "the training will take about 66 min on this machine"
    assert said[1:] == [
        f"epoch 1/2, step {step} of 100, about {left} min left" for step, left in ((2, 66), (5, 65), (8, 64))
    ]


def test_a_short_training_says_nothing_of_its_time_until_a_minute_is_over():
    assert paced(seconds=0.2, steps=200).splitlines() == ["epoch 1/2, step 2 of 100, about 40 s left"]
    assert paced(seconds=4.0, steps=120).count("will take about 13 min") == 1
    assert "epoch 2/2, step 7 of 100, about 6 min left" in paced(seconds=4.0, steps=120)


def test_in_a_terminal_the_bar_tells_the_time_of_the_longest_steps():
    text = paced(seconds=300.0, steps=3, terminal=True)
    assert "the training will take about 16 h on this machine" in text
    assert "about 16 h left" not in text
    (column,) = [each for each in make_bar().columns if isinstance(each, TimeRemainingColumn)]
    bar, clock = make_bar(), Clock()
    bar.get_time = clock
    task = bar.add_task("training", total=10)
    for _ in range(2):
        clock.now += 300
        bar.advance(task)
    assert str(column.render(bar.tasks[0])) != "-:--:--"


def test_a_long_evaluation_elsewhere_says_how_far_it_is():
    clock, console = Clock(), Console(file=io.StringIO(), width=80)
    observer = LiveObserver(console, clock=clock)
    observer.evaluating("autoattack", images=5_000)
    for _ in range(3):
        clock.now += 40
        observer.images_done(1_000)
    assert console.file.getvalue().splitlines() == [
        "evaluating autoattack …",
        "evaluating autoattack: 2,000 of 5,000 images",
    ]


def test_a_strangers_names_stay_text():
    names = ("<script>alert(1)</script>", "[red]a[/red]\n\x1b[2J")
    result = Result(counts=Counts(correct=(1, 2), total=(3, 3)), attack={"name": "x"})
    evaluation = Evaluation(class_names=names, train_counts=(5, 2), results={"[link]\x07": result})
    console = Console(file=io.StringIO(), width=160)
    console.print(class_table(evaluation, title="[bold]t[/bold]"))
    text = console.file.getvalue()
    for said in ("[bold]t[/bold]", "<script>alert(1)</script>", "[red]a[/red]��[2J", "[link]�"):
        assert said in text


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_strangers_names_are_drawn_as_they_are(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    draw_distribution(["$\\frac$", "<b>&</b>-->", "a\nb\x00c"], [3, 2, 1], path, title="$\\oops")
    assert path.stat().st_size > 1_000
    if suffix == "svg":
        ElementTree.parse(path)  # still XML


def test_a_reader_that_leaves_does_not_end_what_is_going_on(monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as gone, monkeypatch.context() as patch:  # noqa: PTH123
        patch.setattr(sys, "stdout", gone)
        console = make_console()
        console.print("\n".join(["x" * 100] * 1_000))
        console.print("y")
        assert console.quiet
