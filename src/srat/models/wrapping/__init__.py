"""Modules of the user's own as classifiers."""
