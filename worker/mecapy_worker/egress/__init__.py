"""Which hosts a task may reach, and the connections made for it. Runs in the worker."""
