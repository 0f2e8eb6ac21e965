"""Everything that travels beside variables: process state, modules, files."""
