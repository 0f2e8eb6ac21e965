"""The children one worker keeps ready: made, watched, ended. Runs in the worker."""
