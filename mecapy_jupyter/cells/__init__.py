"""One `%%mecapy` cell. `prepared`, then `cell`, is its whole way; beside them what is checked
before, what is shown, and what is done instead of waiting: `--bg` (`background`), `--dry-run`
(`dryrun`), the same cell again while its task lives (`again`).
"""
