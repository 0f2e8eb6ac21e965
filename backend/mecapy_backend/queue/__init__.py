"""The queue: whose task starts next. Redis may lose all of it at any moment."""
