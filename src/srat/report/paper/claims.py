"""Which of the paper's statements hold for our numbers."""

from srat.report.paper.outcome import Outcome
from srat.report.paper.sheets import Sheet


def claims_sheet(outcome: Outcome) -> Sheet | None:
    """Return a table of the paper's statements, each as a difference in points with its interval, and what follows."""
    claims = outcome.recipe.claims(outcome.cells)
    rows = []
    for claim in claims:
        found, papers = outcome.sum_of(claim.terms), outcome.paper_sum_of(claim.terms)
        if found is None:
            continue
        verdict = "holds" if found.low > 0 else "does not hold" if found.high < 0 else "cannot be told"
        points = f"{100 * found.value:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
        rows.append((claim.text, points, "" if papers is None else f"{100 * papers:+.1f}", verdict))
    if not rows:
        return None
    note = "In points, with 95 % intervals, as if the runs were independent; what cannot be told has 0 in its interval."
    headings = ("the paper says", "ours", "paper", "here it")
    without_paper = all(not row[2] for row in rows)
    kept = [0, 1, 3] if without_paper else [0, 1, 2, 3]
    return Sheet(
        title="What the paper says, and what these runs say of it",
        headings=[headings[k] for k in kept],
        rows=[[row[k] for k in kept] for row in rows],
        note=note,
    )
