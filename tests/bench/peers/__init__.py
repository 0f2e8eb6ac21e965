"""`make bench-peers`: MecaPy beside what else runs Python somewhere else, all of it from cells of a
real kernel, in one run.

`__main__` makes the environment and runs each peer in a process of its own; `kernel` is that
process; `inside` is what its kernel measures; `on_*` opens one peer; `table` shows the figures.
"""
