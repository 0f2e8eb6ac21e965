"""How much one user may ask for: requests, streams, tasks, bytes."""
