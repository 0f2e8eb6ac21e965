"""Opens the results of a task and puts them into the notebook. Runs in the kernel."""
