"""One `%%mecapy` cell. `prepared` checks and captures it, `cell` runs it.

Beside them: `--bg` (`background`), `--dry-run` (`dry_run`), `--verify` (`verify`), and the same
cell again while its task runs (`resubmit_check`).
"""
