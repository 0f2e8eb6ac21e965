"""Allowed hosts, and connections made for tasks. Runs in the worker."""
