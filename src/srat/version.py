"""The version: that of the tag that the package was built from."""

from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as of_package


@cache
def version() -> str:
    """Return the installed version, or "unknown" of a copy that is not installed."""
    try:
        return of_package("srat")
    except PackageNotFoundError:
        return "unknown"
