"""Notebooks, run as a user would."""
