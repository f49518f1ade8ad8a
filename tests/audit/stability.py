"""Do verdicts turn round with the seed? Audits of fakes and of honest models, twenty seeds each.

usage: python tests/audit/stability.py [SEEDS [NAME…]]

Honest models of unusual kinds are trained anew with each seed, and looked at on 200 images.
"""

import sys
from collections import Counter

import torch
from fakes import CAUGHT_BY, EPSILON, HONEST, HONEST_EPSILON, UNUSUAL, fakes, subject, trained, unusual

from srat.audit.base import Subject
from srat.audit.suite import audit


def main() -> None:
    """Audit, and print how often each check gave which verdict."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    models = [(name, trained(name), HONEST_EPSILON) for name in HONEST]
    models += [(name, None, HONEST_EPSILON) for name in UNUSUAL]
    models += [(name, model, EPSILON) for name, model in fakes().items()]
    chosen = [each for each in models if each[0] in sys.argv[2:] or not sys.argv[2:]]
    for name, model, epsilon in chosen:
        counts: dict[str, Counter[str]] = {}
        for seed in range(seeds):
            torch.manual_seed(seed)  # of the noisy fake
            whom = subject(model, epsilon=epsilon, seed=seed) if model else odd(name, seed)
            found = audit(whom)
            for check, verdict in {"overall": found.verdict, **found.verdicts}.items():
                counts.setdefault(check, Counter())[verdict] += 1
        said = ", ".join(
            f"{check} {'/'.join(f'{verdict} {count}' for verdict, count in counter.most_common())}"
            + ("" if len(counter) == 1 else " (!)")
            for check, counter in counts.items()
        )
        if name in CAUGHT_BY:
            caught = all(counts[check] == {"fail": seeds} for check in CAUGHT_BY[name])
            said += f"; every expected check fails: {caught}"
        print(f"{name}: {said}", flush=True)


def odd(name: str, seed: int) -> Subject:
    """Return an honest model of an unusual kind, under examination."""
    return subject(unusual(name, seed), epsilon=HONEST_EPSILON, seed=seed, images=200)


if __name__ == "__main__":
    main()
