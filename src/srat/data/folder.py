"""The folder source, at its name of version 0.1."""

from srat.data.sources.folder import Folder

__all__ = ["Folder"]
