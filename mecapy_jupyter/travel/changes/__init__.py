"""Finds which inputs a cell changed in place, and makes the same changes in the notebook."""
