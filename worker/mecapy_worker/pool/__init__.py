"""The children that a worker keeps ready. Runs in the worker."""
