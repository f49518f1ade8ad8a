"""Names in tables: cut in the middle, told apart, and never in the way of a number."""

import io
import re
import unicodedata
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from srat.core.errors import printable
from srat.evaluation.comparison import Comparison
from srat.evaluation.counts import Counts
from srat.evaluation.record import Evaluation, Result
from srat.evaluation.separability import Estimate, Separability
from srat.report.sheets import Sheet
from srat.report.terminal.comparison import comparison_table
from srat.report.terminal.distribution import distribution_table
from srat.report.terminal.listing import LEAST, Listing
from srat.report.terminal.names import Name, fitted, shortened
from srat.report.terminal.scopes import NARROW, print_whole, titled_table
from srat.report.terminal.separability import separability_table
from srat.report.terminal.table import class_table
from srat.statistics.intervals import Mean
from srat.statistics.paired import Difference

LONG = (
    "north american ruby-crowned kinglet warbler of the western mountains",
    "north american ruby-crowned kinglet warbler of the eastern mountains",
    "北米紅冠王様鶯" * 6,
    "北米紅冠王様鶯" * 5 + "北米緑冠王様鶯",
    "e\u0301" * 70,
    "👩\u200d🔬🇺🇸❤\ufe0f" * 12,
    "bad\x1b[31m\nname\x00" + "y" * 50,
    "bad\x1b[31m\nname\x01" + "y" * 50,
    "a" * 30 + "X" + "b" * 30,
    "a" * 30 + "Y" + "b" * 30,
    "[bold]markup[/bold]" * 4,
    "cat",
)
COUNTS = tuple(98_765 // (c + 1) for c in range(len(LONG)))


def evaluation(*attacks):
    counts = Counts(correct=tuple(range(20, 20 + len(LONG))), total=(50,) * len(LONG))
    results = {name: Result(counts=counts, attack={}) for name in attacks}
    return Evaluation(class_names=LONG, train_counts=COUNTS, results=results)


def lines_of(table, width, *, terminal=True):
    out = io.StringIO()
    print_whole(Console(file=out, width=width, force_terminal=terminal, color_system=None), table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def looks(texts):
    return [unicodedata.normalize("NFC", text) for text in texts]


characters = st.one_of(
    st.sampled_from("ab 北e\u0301\u200d\x00\x1b\n❤\ufe0f👩🔬()12…"), st.characters(exclude_categories=["Cs"])
)


class TestNames:
    @given(st.sets(st.text(characters, max_size=60), max_size=8), st.integers(10, 40))
    @example({"a\x00", "a\x01", "a� (1)", "a� (2)"}, 12)
    @example({"x" * 40 + str(n) + "y" * 40 for n in range(9)}, 10)
    @example({"é" * 30, "e\u0301" * 30}, 20)
    def test_they_fit_and_no_two_look_the_same(self, names, width):
        shown = fitted(dict.fromkeys(names, width))
        assert shown.keys() == names
        assert all(cell_len(text) <= width for text in shown.values())
        assert len(set(looks(shown.values()))) == len(names)
        assert all(text == printable(text) for text in shown.values())

    @given(st.text(characters, max_size=60), st.integers(2, 40))
    def test_what_fits_stays_and_what_does_not_keeps_both_ends(self, text, width):
        shown = shortened(text, width)
        if cell_len(text) <= width:
            assert shown == text
        else:
            head, _, tail = shown.partition("…") if "…" not in text else ("", "", "")
            assert cell_len(shown) <= width
            assert text.startswith(head)
            assert text.endswith(tail)

    def test_it_is_cut_in_the_middle_but_where_the_difference_is(self):
        west, east = fitted(dict.fromkeys(LONG[:2], 24)).values()
        assert west.startswith("nort")
        assert west.endswith("western mountains")
        assert east.startswith("nort")
        assert east.endswith("eastern mountains")
        assert shortened("abcdefghij", 5) == "ab…ij"
        assert shortened("e\u0301" * 9, 5) == "e\u0301" * 2 + "…" + "e\u0301" * 2
        assert shortened("北" * 9, 6) == "北…北"


ESTIMATE = Estimate(-0.123, -0.2, 0.1)
MEAN = Mean(0.5, 0.4, 0.6, float("nan"))
SCOPES = (("overall", False), *((name, True) for name in LONG))


def comparisons():
    common = {"attack": "pgd-20", "images": 500, "first": MEAN, "second": MEAN, "corrected": 0.04, "only_first": 12}
    difference = Difference(-0.1, -0.2, 0.05, 0.03)
    return [
        Comparison(scope=name, is_class=is_class, difference=difference, only_second=1_000 + n, **common)
        for n, (name, is_class) in enumerate(SCOPES)
    ]


def separabilities():
    same = {"fisher": ESTIMATE, "silhouette": ESTIMATE, "purity": ESTIMATE}
    return [Separability(scope=name, is_class=is_class, **same) for name, is_class in SCOPES]


def two_names():
    """As predictions have: a file, a class, a number, and a class again."""
    table = titled_table("t")
    for heading in ("file", "class", "under attack"):
        table.add_column(heading)
    table.add_column("probability", justify="right", no_wrap=True)
    for n, name in enumerate(LONG):
        becomes = Name(name=LONG[0], before="becomes ", style="red")
        table.add_row(Name(name=f"folder/{name}/{n}.png"), Name(name=name), becomes, f"0.{n:03d}")
    return table


TABLES = {
    "evaluation": lambda: class_table(evaluation("clean", "pgd-20", "apgd-ce", "worst-case"), title="t"),
    "distribution": lambda: distribution_table(LONG, COUNTS, COUNTS, title="t"),
    "comparison": lambda: comparison_table(
        comparisons(), f"a ({LONG[0]})", f"a ({LONG[1]})", evaluation(), evaluation().groups
    ),
    "separability": lambda: separability_table(separabilities(), evaluation(), title="t"),
    "sheet": lambda: Sheet(
        title="t", headings=["c", *"abcd"], rows=[[name, *(f"{n}.3 [4, 56]" for n in range(4))] for name in LONG]
    ).to_rich(),
    "two names": two_names,
}


class TestEveryTable:
    @pytest.mark.parametrize("width", [60, 80, 120, 500])
    @pytest.mark.parametrize("name", TABLES)
    def test_numbers_are_whole_and_the_width_is_kept(self, name, width):
        table = TABLES[name]()
        lines = lines_of(table, width)
        assert max(map(cell_len, lines)) <= width
        numbers = Counter(
            cell.plain if isinstance(cell, Text) else cell
            for column in table.columns
            for cell in (column.header, *column.cells)
            if column.no_wrap
        )
        numbers.pop("", None)
        text = "\n".join(lines)
        assert {number: text.count(number) >= count for number, count in numbers.items()} == dict.fromkeys(
            numbers, True
        )
        assert "\x1b" not in text

    @pytest.mark.parametrize("name", ["evaluation", "distribution", "separability"])
    def test_each_class_has_a_name_of_its_own(self, name):
        lines = lines_of(TABLES[name](), 60)
        rows = [re.split(r" {2,}", line.strip().removesuffix("  rare")) for line in lines]
        keys = [row[1] if name == "distribution" and len(row) > 2 else row[0] for row in rows]
        assert "north american…ern mountains" not in keys
        parts = max(Counter(keys)["class"], 1)
        assert sum(key.startswith(("nor", "a")) and "…" in key for key in set(keys)) == 4, (parts, keys)

    @pytest.mark.parametrize("name", ["evaluation", "distribution"])
    def test_names_are_whole_where_there_is_room(self, name):
        text = "\n".join(lines_of(TABLES[name](), 500))
        assert LONG[0] in text
        assert LONG[2] in text

    def test_groups_are_never_cut(self):
        first = [line.split()[0] for line in lines_of(TABLES["evaluation"](), 60) if line.strip()]
        assert first.count("rare") == first.count("common") > 1

    @pytest.mark.parametrize(("columns", "widest"), [("", NARROW), ("100", 100), ("x", NARROW)])
    def test_what_is_no_terminal_is_as_wide_as_columns_say_or_narrow(self, monkeypatch, columns, widest):
        monkeypatch.setenv("COLUMNS", columns)
        lines = lines_of(TABLES["distribution"](), 200, terminal=False)
        assert widest - 4 <= max(map(cell_len, lines)) <= widest

    def test_what_cannot_be_narrow_is_one_table_where_there_is_no_terminal(self, monkeypatch):
        monkeypatch.delenv("COLUMNS", raising=False)
        text = "\n".join(lines_of(TABLES["evaluation"](), 200, terminal=False))
        assert text.count("class ") == 1 + text.count("worst class ")

    def test_a_number_wider_than_the_terminal_is_whole_all_the_same(self):
        table = Listing("t")
        table.add_column("class")
        table.add_column("number", no_wrap=True)
        table.add_row(Name(name=LONG[0]), "1" * 70)
        row = next(line for line in lines_of(table, 40) if "1" * 70 in line)
        assert LEAST + 70 < cell_len(row) < LEAST + 80
