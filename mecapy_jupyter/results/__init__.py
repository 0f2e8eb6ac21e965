"""What a task brings home, opened and put where it belongs. Runs in the kernel."""
