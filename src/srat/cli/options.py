"""Where and how ``srat train`` trains, not what."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from srat.runtime.compiling import CompileChoice
from srat.training.options import LoggerName, OnDivergence


@dataclass(frozen=True, kw_only=True)
class Options:
    """Where and how, not what."""

    config: Path | None = None
    """Start from the configuration in this file (config.json of another run) instead of the defaults."""
    out: Path | None = None
    """The run's folder, by default a new one in runs/; an unfinished run in it continues where it stopped."""
    resume: bool = False
    """Continue the run in --out with its own settings; an error if there is none."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""
    devices: int = 1
    """Processes on this machine; each has a GPU or a share of the CPU's cores, and a share of every batch."""
    oversubscribe: bool = False
    """Allow more processes than the CPU has cores."""
    compile: CompileChoice = "auto"
    """Compile the model: auto (on CUDA), off, or a mode of torch.compile (reduce-overhead replays CUDA graphs)."""
    checkpoint_every: str = "auto"
    """Steps (200) or minutes (10m) between checkpoints; auto spends about 1 % of the time on them."""
    on_divergence: OnDivergence = "stop"
    """If the loss becomes NaN or infinite: stop, or roll back to the last checkpoint with half the learning rate."""
    logger: tyro.conf.UseAppendAction[tuple[LoggerName, ...]] = ()
    """Also log every epoch with csv, tensorboard, wandb or mlflow; may be given several times."""
