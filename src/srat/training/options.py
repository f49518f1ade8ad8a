"""How a run is done, not what is done: choices that no result is to depend on but by rounding."""

from typing import Literal

LoggerName = Literal["csv", "tensorboard", "wandb", "mlflow"]
"""Who is told of every epoch beside metrics.csv."""

OnDivergence = Literal["stop", "rollback"]
"""If the loss becomes NaN or infinite: stop, or go back to the last checkpoint with half the learning rate."""
