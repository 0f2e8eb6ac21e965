"""Notes to people and programs when a task ends: by mail, or as a signed webhook. A task's row is
the outbox: the recipients that are left and the time of the next try change with its state.
"""
