"""What `%mecapy …` answers: the commands (`line`), how the status looks (`status`), what is wrong
(`doctor`).
"""
