"""What a page tells of a run, read from its folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from srat.audit.suite import Audit
from srat.config.config import Config
from srat.core.errors import require
from srat.evaluation.examples import Examples
from srat.evaluation.feature_map import FeatureMap
from srat.evaluation.groups import AnyGroups, grouped
from srat.evaluation.record import CLEAN, WORST, Evaluation, Result
from srat.report.html.gallery import Specimen
from srat.report.terminal.distribution import rare
from srat.runs.calibration import Calibration, calibration_of
from srat.runs.folder import RunFolder, Which
from srat.runs.metrics import Row


@dataclass(frozen=True, kw_only=True, eq=False)
class RunRecord:
    """All that is at hand of a run; what is not there is None, or empty."""

    name: str
    """The folder's."""
    config: Config
    evaluation: Evaluation
    command: str
    """The command that makes the run again; empty where none does."""
    which: Which = "last"
    """The weights whose results are shown."""
    history: Sequence[Row] = ()
    examples: Examples | None = None
    map: FeatureMap | None = None
    audit: Audit | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    """Device, versions, time."""
    gallery: Sequence[Specimen] = ()
    calibration: Calibration | None = None
    """The temperature of its probabilities."""
    groups: AnyGroups | None = None
    """Groups of classes in the place of the paper's two."""

    @property
    def threat(self) -> str:
        """The name of the result that robustness is told by.

        It is the worst case of several attacks, else the run's own attack, else the one that leaves the least.
        """
        there = {name: sum(result.counts.correct) for name, result in self.evaluation.results.items() if name != CLEAN}
        known = [name for name in (WORST, self.config.evaluation.label) if name in there]
        return known[0] if known else min(there, key=there.__getitem__)

    @property
    def clean(self) -> Result:
        """The result on images as they are."""
        return self.evaluation.results[CLEAN]

    @property
    def robust(self) -> Result:
        """The result that robustness is told by."""
        return self.evaluation.results[self.threat]

    @property
    def extremes(self) -> tuple[str, str]:
        """The names of the groups that are set against each other, the common classes' first."""
        names = [] if self.groups is None else list(self.groups.named)
        return (names[0], names[-1]) if len(names) > 1 else ("common", "rare")

    @property
    def common(self) -> tuple[int, ...]:
        """The well-represented classes, or the first of the groups that were asked for."""
        return self.evaluation.groups.well if self.groups is None else self.groups.named.get(self.extremes[0], ())

    @property
    def rare(self) -> tuple[int, ...]:
        """The under-represented classes, or the last of the groups that were asked for; none where there is but one."""
        if self.groups is None:
            return rare(self.evaluation.train_counts)
        return self.groups.named.get(self.extremes[1], ())

    @property
    def by_rarity(self) -> list[int]:
        """The classes, the rarest first."""
        counts = self.evaluation.train_counts
        return sorted(range(len(counts)), key=lambda c: (counts[c], -c))


def read_record(
    folder: RunFolder,
    config: Config,
    *,
    command: str,
    gallery: Sequence[Specimen] = (),
    which: Which = "last",
    groups: str = "half",
) -> RunRecord:
    """Return what a folder holds of a finished run.

    Args:
        folder: the run's.
        config: its configuration.
        command: what makes it again.
        gallery: images to show.
        which: the weights whose results are shown; the map is always of the last epoch's.
        groups: definition of the groups; see `srat.evaluation.groups.grouped`.

    Raises:
        UserError: if there is no evaluation under attack, or a file cannot be read.
    """
    evaluation, examples, audit = folder.evaluation(which), folder.examples(which), folder.audit(which)
    found = Evaluation.read(evaluation)
    attacked = len(found.results) > 1 and CLEAN in found.results
    require(attacked, f"{evaluation}: expected accuracies of the images as they are, and under an attack")
    require(sum(found.results[CLEAN].counts.total) > 0, f"{evaluation}: an evaluation of no image")
    kept = Examples.read(examples) if examples.exists() else None
    same = kept is None or kept.class_names == found.class_names
    require(same, f"{examples}: its classes are not those of {evaluation.name}; remove it")
    return RunRecord(
        name=folder.path.resolve().name,
        config=config,
        which=which,
        evaluation=found,
        command=command,
        history=folder.read_metrics() if folder.metrics.exists() else (),
        examples=kept,
        map=_map(folder) if which == "last" else None,
        calibration=calibration_of(folder, which),
        audit=Audit.read(audit) if audit.exists() else None,
        environment={name.replace("_", " "): _said(value) for name, value in folder.read_environment().items()},
        gallery=gallery,
        groups=None if groups == "half" else grouped(groups, found.train_counts, found.class_names),
    )


def _said(value: Any) -> str:
    """Return a fact of the environment; of plugins the files' names with their checksums, not where they lie."""
    if not isinstance(value, Mapping):
        return str(value)
    return ", ".join(f"{Path(path).name} (SHA-256 {sha256})" for path, sha256 in value.items())


def _map(folder: RunFolder) -> FeatureMap | None:
    """Return the map of a run's features; none if it is of other weights."""
    found = FeatureMap.read(folder.map) if folder.map.exists() else None
    return found if found is not None and found.is_of(folder.weights("last")) else None
