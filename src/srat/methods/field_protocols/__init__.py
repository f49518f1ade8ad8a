"""Protocols (a file each), named after their modules."""
