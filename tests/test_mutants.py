"""The faults that ``make mutants`` plants: each can be planted, and the runner tells who catches it."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import mutants
from mutants import CAUGHT, HUNG, SURVIVED, Fault, Worker, faults, hunt, report

AREAS = (
    *("attacks", "budgets", "losses", "robust_losses", "objective", "step", "training"),
    *("evaluation", "statistics", "audit", "data", "split", "models", "resume", "export", "planning"),
)


def test_there_are_enough_in_each_area():
    planted = Counter(fault.area for fault in faults())
    assert set(planted) == set(AREAS)
    assert min(planted.values()) >= 10
    assert planted.total() >= 500


@pytest.mark.parametrize("area", AREAS)
def test_each_can_be_planted_and_is_looked_for(area):
    for fault in faults([area]):
        source = (mutants.ROOT / "src/srat" / fault.file).read_text()
        assert fault.old != fault.new
        ast.parse(fault.planted(source))
        assert fault.tests
        for test in fault.tests:
            path, *names = test.split("::")
            written = (mutants.ROOT / "tests" / path).read_text()
            assert all(f"{name.partition('[')[0]}" in written for name in names), test


def test_none_is_there_twice():
    found = faults()
    assert len({(fault.file, fault.old, fault.new) for fault in found}) == len(found)
    assert len({(fault.area, fault.what) for fault in found}) == len(found)


def test_the_runner_tells_who_is_caught(tmp_path, monkeypatch, capsys):
    """In a package of two functions, of which one has a test."""
    root = tmp_path / "root"
    (root / "src/srat").mkdir(parents=True)
    (root / "tests").mkdir()
    (root / "src/srat/__init__.py").write_text("def one():\n    return 1\n\n\ndef two():\n    return 2\n")
    (root / "tests/test_one.py").write_text("import srat\n\n\ndef test_one():\n    assert srat.one() == 1\n")
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "a"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.setattr(mutants, "ROOT", root)
    monkeypatch.setattr(mutants, "tested", in_a_process_of_its_own)
    seen, missed, gone = (
        Fault(area="a", what=what, file="__init__.py", old=old, new=new, tests=("test_one.py",))
        for what, old, new in (("seen", "return 1", "return 7"), ("missed", "return 2", "pass"), ("gone", "3", "4"))
    )
    worker = Worker(tmp_path / "checkout")
    found = {fault: what for fault, what, _ in hunt([*mutants.controls([seen]), seen, missed, gone], [worker])}
    assert list(found.values()) == [SURVIVED, CAUGHT, SURVIVED, mutants.BROKEN]
    assert not subprocess.run([*git, "status", "--short"], check=True, capture_output=True).stdout
    assert (worker.checkout / "src/srat/__init__.py").read_text() == (root / "src/srat/__init__.py").read_text()
    assert report(found) == 1
    said = capsys.readouterr().out
    assert "all        1        3" in " ".join(said.split("\n"))
    assert "survived: __init__.py: missed" in said
    assert "cannot be planted: __init__.py: gone" in said
    assert report({seen: HUNG}) == 0
    monkeypatch.setattr(mutants, "faults", lambda areas: [seen, missed])
    monkeypatch.setattr(sys, "argv", ["mutants.py", "--folder", str(tmp_path / "kept"), "--workers", "1"])
    assert mutants.main() == 1
    first = capsys.readouterr().out
    assert mutants.main() == 1
    assert "1/3" in first
    assert "1/3" not in capsys.readouterr().out  # nothing is tried again
    (root / "src/srat/__init__.py").write_text("")
    with pytest.raises(SystemExit, match="2"):
        mutants.main()
    assert "in what is committed, and this is not: src/srat/__init__.py" in " ".join(capsys.readouterr().err.split())


def in_a_process_of_its_own(fault, checkout):
    """pytest within pytest's fork would tell the outer one's plugins."""
    path = Path(checkout)
    command = [sys.executable, "-m", "pytest", "-q", *(str(path / "tests" / test) for test in fault.tests)]
    done = subprocess.run(command, env={"PYTHONPATH": str(path / "src")}, capture_output=True, cwd=path)
    mutants.os._exit(done.returncode)
