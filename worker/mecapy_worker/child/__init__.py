"""One task in a confined process. Runs in the child."""
