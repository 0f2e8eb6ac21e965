"""Bytes named by their digest: on a disk or on S3, and the table of which exist."""
