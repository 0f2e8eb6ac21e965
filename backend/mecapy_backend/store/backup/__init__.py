"""A backup: the tables as of one moment, and the blobs they name."""
