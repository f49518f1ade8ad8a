"""Tables as LaTeX, for the package booktabs."""

from collections.abc import Iterator, Sequence

from srat.core.errors import printable
from srat.report.sheets import Sheet

_LATEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "≈": r"$\approx$",
    "±": r"$\pm$",
    "−": r"$-$",
    "×": r"$\times$",
    "∞": r"$\infty$",
    "λ": r"$\lambda$",
    "τ": r"$\tau$",
    "ε": r"$\varepsilon$",
    "ρ": r"$\rho$",
    "★": r"$\star$",
    "–": "--",
    "…": r"\ldots{}",
    "’": "'",
}


def written(sheets: Sequence[Sheet]) -> str:
    """Return tables as LaTeX, one after the other."""
    return "\n".join(map(_table, sheets))


def _table(sheet: Sheet) -> str:
    columns = "l" * sheet.keys + "r" * (len(sheet.headings) - sheet.keys)
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            rf"\caption{{{in_latex(sheet.title)}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            _line(map(in_latex, sheet.headings)),
            r"\midrule",
            *map(_line, _rows(sheet)),
            r"\bottomrule",
            r"\end{tabular}",
            *([rf"\par {in_latex(sheet.note)}"] if sheet.note else []),
            r"\end{table}",
            "",
        ]
    )


def _line(cells: Iterator[str]) -> str:
    # A bracket after the last line's end, or a star, would be taken for an option of it.
    line = " & ".join(cells)
    return (f"{{}}{line}" if line.startswith(("[", "*")) else line) + r" \\"


def _rows(sheet: Sheet) -> Iterator[Iterator[str]]:
    for row, cells in enumerate(sheet.rows):
        yield (_bold(cell) if (row, column) in sheet.best else in_latex(cell) for column, cell in enumerate(cells))


def _bold(cell: str) -> str:
    """Return a cell whose number is bold; what it varies by is not."""
    number, beside, spread = cell.partition(" ±")
    return rf"\textbf{{{in_latex(number)}}}{in_latex(beside + spread)}"


def in_latex(text: str) -> str:
    """Return a stranger's text as LaTeX that shows it."""
    return "".join(_LATEX.get(character, character) for character in printable(text))
