"""Tables that are read in a terminal, in Markdown and in LaTeX."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from srat.core.errors import printable
from srat.core.words import percent_interval
from srat.report.terminal.listing import Listing
from srat.report.terminal.scopes import titled_table
from srat.statistics.intervals import Accuracy, Mean

_PROSE = 56
"""Characters of a name in a line, in a terminal; longer ones are folded."""
_LATEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "≈": r"$\approx$",
    "±": r"$\pm$",
    "−": r"$-$",
    "×": r"$\times$",
    "λ": r"$\lambda$",
    "τ": r"$\tau$",
    "ε": r"$\varepsilon$",
    "ρ": r"$\rho$",
    "★": r"$\star$",
    "–": "--",
    "…": r"\ldots{}",
    "’": "'",
}


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table of texts; the first column is of names, the others are of numbers."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def to_rich(self) -> Listing:
        """Return it for the terminal."""
        table = titled_table(self.title)
        for number, heading in enumerate(self.headings):
            if number == 0:
                table.add_column(Text(heading), max_width=_PROSE)
            else:
                table.add_column(Text(heading), justify="right", no_wrap=True)
        for row in self.rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        table.caption = Text(self.note) if self.note else None
        return table

    def to_markdown(self) -> str:
        """Return it as a Markdown table below its title."""
        lines = [self.headings, ["---", *["---:"] * (len(self.headings) - 1)], *self.rows]
        body = "\n".join(f"| {' | '.join(in_markdown(cell) for cell in line)} |" for line in lines)
        return f"**{in_markdown(self.title)}**\n\n{body}\n" + (f"\n{self.note}\n" if self.note else "")

    def to_latex(self) -> str:
        """Return it as a LaTeX table, for the package booktabs."""
        lines = [" & ".join(map(_in_latex, line)) + r" \\" for line in (self.headings, *self.rows)]
        columns = "l" + "r" * (len(self.headings) - 1)
        return "\n".join(
            [
                r"% needs \usepackage{booktabs}",
                r"\begin{table}",
                rf"\caption{{{_in_latex(self.title)}}}",
                rf"\begin{{tabular}}{{{columns}}}",
                r"\toprule",
                lines[0],
                r"\midrule",
                *lines[1:],
                r"\bottomrule",
                r"\end{tabular}",
                *([rf"\par {_in_latex(self.note)}"] if self.note else []),
                r"\end{table}",
                "",
            ]
        )


def accuracy_text(accuracy: Accuracy | Mean | None) -> str:
    """Return an accuracy as "45.8 [44.8, 46.8]", in per cent; a dash for an unknown one."""
    return "–" if accuracy is None else percent_interval(accuracy.accuracy, accuracy.low, accuracy.high)


def to_csv(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows of values as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows(rows)
    return text.getvalue()


def in_markdown(text: str) -> str:
    """Return a stranger's text as Markdown that shows it, on one line: no markup, no link, no image."""
    plain = re.sub(r"([\\`*_|])", r"\\\1", printable(text))
    return plain.replace("](", "]\\(").replace("&", "&amp;").replace("<", "&lt;")


def _in_latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in printable(text))
