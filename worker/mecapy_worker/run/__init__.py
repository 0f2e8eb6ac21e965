"""One task from the queue to its recorded end. Runs in the worker."""
