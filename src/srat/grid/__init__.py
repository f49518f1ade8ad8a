"""Many runs: what is missing of them, and who makes it, here or on a Ray cluster."""

from srat.grid.engine import Executor, Handle, run_grid
from srat.grid.plan import Job, jobs_of, planned

__all__ = ["Executor", "Handle", "Job", "jobs_of", "planned", "run_grid"]
