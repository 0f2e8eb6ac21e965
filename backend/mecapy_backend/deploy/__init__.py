"""`mecapy deploy …`: records what should run; other programs start it."""
