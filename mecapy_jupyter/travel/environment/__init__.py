"""What travels beside variables: process state, user-defined modules, files."""
