"""The embedded stack from outside: find, start and stop it (`embedded`), and its data directory
(`datadir`).
"""
