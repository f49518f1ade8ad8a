"""Do verdicts turn round with the seed? Audits of six fakes and three honest models, twenty seeds each.

usage: python tests/audit/stability.py [SEEDS [NAME…]]
"""

import sys
from collections import Counter

import torch
from fakes import CAUGHT_BY, EPSILON, HONEST, HONEST_EPSILON, fakes, subject, trained

from srat.audit.suite import audit


def main() -> None:
    """Audit, and print how often each check gave which verdict."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    models = [(name, trained(name), HONEST_EPSILON) for name in HONEST]
    models += [(name, model, EPSILON) for name, model in fakes().items()]
    chosen = [each for each in models if each[0] in sys.argv[2:] or not sys.argv[2:]]
    for name, model, epsilon in chosen:
        counts: dict[str, Counter[str]] = {}
        for seed in range(seeds):
            torch.manual_seed(seed)  # of the noisy fake
            found = audit(subject(model, epsilon=epsilon, seed=seed))
            for check, verdict in {"overall": found.verdict, **found.verdicts}.items():
                counts.setdefault(check, Counter())[verdict] += 1
        said = ", ".join(
            f"{check} {'/'.join(f'{verdict} {count}' for verdict, count in counter.most_common())}"
            + ("" if len(counter) == 1 else " (!)")
            for check, counter in counts.items()
        )
        caught = all(counts[check] == {"fail": seeds} for check in CAUGHT_BY.get(name, ()))
        print(f"{name}: {said}{'' if name in HONEST else f'; every expected check fails: {caught}'}", flush=True)


if __name__ == "__main__":
    main()
