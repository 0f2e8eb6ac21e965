"""Code of both sides of a trip: the kernel and the child."""
