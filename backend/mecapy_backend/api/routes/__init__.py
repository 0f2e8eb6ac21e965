"""The REST surface, one file per noun. Routes check, call the store, and answer; they hold no logic
of tasks.
"""
