"""The tables of docs/results/README.md, from the files of runs.

usage: python docs/results/table.py RUN…
"""

import json
import sys
from pathlib import Path

from srat.config.config import Config
from srat.evaluation.record import Evaluation, summary
from srat.statistics.intervals import Accuracy


def said(accuracy: Accuracy) -> str:
    """Return an accuracy with its interval, in per cent."""
    return f"{100 * accuracy.accuracy:.1f} [{100 * accuracy.low:.1f}, {100 * accuracy.high:.1f}]"


def attacks(runs: list[Path], file: str, columns: tuple[str, ...], groups: tuple[str, ...]) -> None:
    """Print the accuracies of each run under some attacks."""
    headings = [f"{name}, {group}" for name in columns for group in groups]
    print(f"| method | {' | '.join(headings)} |\n|---{'|---' * len(headings)}|")
    for run in runs:
        evaluation = Evaluation.read(run / file)
        shown = [summary(evaluation.results[name].counts, evaluation.groups) for name in columns]
        cells = [said(each[group]) for each in shown for group in groups]
        print(f"| `{Config.read(run / 'config.json').method}` | {' | '.join(cells)} |")
    print()


def audits(runs: list[Path]) -> None:
    """Print what the audit said of each run."""
    print("| method | verdict | what is not a pass |\n|---|---|---|")
    for run in runs:
        audit = json.loads((run / "audit.json").read_text())
        odd = [f"{c['check']} ({c['verdict']}): {c['evidence']}" for c in audit["checks"] if c.get("verdict") != "pass"]
        print(f"| `{Config.read(run / 'config.json').method}` | {audit['verdict']} | {'; '.join(odd) or '–'} |")
    print()


def separabilities(runs: list[Path]) -> None:
    """Print how far the classes of each run lie apart."""
    numbers = ("fisher", "silhouette", "purity")
    headings = [f"{number}, {scope}" for scope in ("well", "under") for number in numbers]
    print(f"| method | images | {' | '.join(headings)} |\n|---|---{'|---' * len(headings)}|")
    for run in runs:
        for attack, result in json.loads((run / "separability.json").read_text())["results"].items():
            scopes = {each["scope"]: each for each in result["scopes"] if not each["is_class"]}
            cells = [
                "{value:.2f} [{low:.2f}, {high:.2f}]".format(**scopes[f"{scope}-represented"][number])
                for scope in ("well", "under")
                for number in numbers
            ]
            print(f"| `{Config.read(run / 'config.json').method}` | {attack} | {' | '.join(cells)} |")
    print()


def main() -> None:
    """Print all tables."""
    runs = [Path(word) for word in sys.argv[1:]]
    attacks(runs, "evaluation.json", ("clean", "pgd-20", "pgd-margin-20"), ("overall", "under"))
    attacks(runs, "evaluation-1000.json", ("clean", "pgd-20", "pgd-margin-20", "autoattack"), ("overall",))
    audits(runs)
    separabilities(runs)


if __name__ == "__main__":
    main()
