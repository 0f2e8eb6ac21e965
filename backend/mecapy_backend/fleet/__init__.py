"""The fleet: which classes of machines there are, and how many of each run."""
