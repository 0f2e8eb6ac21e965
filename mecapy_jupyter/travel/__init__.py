"""What runs on both sides of a trip, in the kernel and in the child."""
