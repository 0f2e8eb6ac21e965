"""A task's log: live in Redis, afterwards in its row or a blob."""
