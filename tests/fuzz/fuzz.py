"""Fuzz a reader: python tests/fuzz/fuzz.py TARGET [MINUTES]

Needs atheris (pip install atheris). A crash, a hang of 20 seconds, or memory beyond 3 GB ends it, with the input in
the current folder; small made-up cases of what was found belong into tests/fuzz/corpus/TARGET.
"""

import contextlib
import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["srat", "pickletools", "tarfile", "zipfile", "numpy.lib.format", "PIL"]):
    from fuzz_targets import TARGETS

    from srat.core.errors import UserError

CORPUS = Path(__file__).parent / "corpus"


def main() -> None:
    """Fuzz the target that is named, in a temporary folder."""
    name, minutes = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 10
    target = TARGETS[name]
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(target.seeds(folder)):
        (corpus / f"seed-{number}").write_bytes(seed)

    def test(content: bytes) -> None:
        with contextlib.suppress(UserError), contextlib.redirect_stdout(None):
            target.read(content, folder)

    limits = [f"-max_total_time={round(60 * minutes)}", "-timeout=20", "-rss_limit_mb=3000", "-max_len=20000"]
    limits += ["-print_final_stats=1", "-verbosity=1", f"-artifact_prefix={Path.cwd()}/{name}-"]
    known = [str(CORPUS / name)] if (CORPUS / name).is_dir() else []
    atheris.Setup([sys.argv[0], *limits, str(corpus), *known], test)
    atheris.Fuzz()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
