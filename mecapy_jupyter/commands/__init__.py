"""The commands of `%mecapy …`, its status (`status`), and the checks of `doctor`."""
