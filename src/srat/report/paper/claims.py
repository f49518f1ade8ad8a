"""Which of the paper's findings these runs show."""

from srat.evaluation.comparison import SIGNIFICANT
from srat.report.paper.outcome import Outcome
from srat.report.sheets import Sheet
from srat.report.wording import caveat, p_text
from srat.statistics.intervals import p_of
from srat.statistics.paired import holm

_NOTE = "In points, with 95 % intervals, as if runs were independent; p is corrected for all rows (Holm)."


def claims_sheet(outcome: Outcome) -> Sheet | None:
    """Return a table of findings, each as a difference in points that the paper has above 0, and what follows here."""
    claims = [(claim, sums) for claim in outcome.recipe.claims(outcome.cells) if (sums := outcome.sums_of(claim.terms))]
    if not claims:
        return None
    corrected = holm([p_of(sums) for _, sums in claims])
    rows = []
    for (claim, sums), p in zip(claims, corrected, strict=True):
        found = sums(0.05)
        verdict = "cannot be told" if p >= SIGNIFICANT else "shows" if found.value > 0 else "is the reverse"
        points = f"{100 * found.value:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
        papers = outcome.paper_sum_of(claim.terms)
        rows.append((claim.text, points, "–" if papers is None else f"{100 * papers:+.1f}", p_text(p), verdict))
    seeds = outcome.seeds[0]
    shown = [0, 1, 2, 3, 4] if outcome.recipe.paper else [0, 1, 3, 4]
    headings = ("finding", "ours", "paper", "p", "here it")
    return Sheet(
        title=outcome.recipe.asks,
        headings=[headings[column] for column in shown],
        rows=[[row[column] for column in shown] for row in rows],
        note=f"{_NOTE} {caveat(seeds) if seeds == 1 else ''}".strip(),
    )
