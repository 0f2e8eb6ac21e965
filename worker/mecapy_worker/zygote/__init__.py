"""The process that children are forked from: it holds no secret and runs no user code."""
