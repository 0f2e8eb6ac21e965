"""A day of a fleet in a few seconds: the production `desired` and the queue's order, under load."""
