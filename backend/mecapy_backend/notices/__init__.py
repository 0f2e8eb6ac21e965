"""Notes to people and programs when a task ends: by mail, or as a signed webhook. A task's row is
the outbox: what it still has to tell, and when that is tried next, changes with its state.
"""
