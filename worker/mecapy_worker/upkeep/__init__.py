"""What a worker does beside its tasks: leases, repairs, health. Runs in the worker."""
