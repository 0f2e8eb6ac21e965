"""Limits of one user: requests, streams, tasks, bytes."""
