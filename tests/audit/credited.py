"""What each fake is credited with, and what it is: a table.

usage: python tests/audit/credited.py [NAME…]
"""

import sys

import torch
from fakes import CAUGHT_BY, fakes, known


def main() -> None:
    """Print, in per cent: as it is, under PGD-20, and under attacks that know how it is made."""
    print("| fake | untouched | credited (PGD-20) | in truth, at most | fails |")
    print("|---|---|---|---|---|")
    for name in sys.argv[1:] or fakes():
        torch.manual_seed(0)  # of the noisy fake
        clean, credited, least = (100 * share for share in known(name))
        print(f"| `{name}` | {clean:.1f} | {credited:.1f} | {least:.1f} | {', '.join(CAUGHT_BY[name])} |", flush=True)


if __name__ == "__main__":
    main()
