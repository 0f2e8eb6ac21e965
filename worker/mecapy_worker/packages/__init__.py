"""Packages that tasks add: what is allowed, how they are locked and installed, where they lie."""
