"""What a cell reads and binds, and whether its variables can travel. Runs in the kernel."""
