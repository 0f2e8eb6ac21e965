"""The embedded stack from outside: is it there, start it, stop it (`embedded`), and its data
directory (`datadir`).
"""
