"""What client and servers both use: errors, version, how numbers are written, the stack's files."""
