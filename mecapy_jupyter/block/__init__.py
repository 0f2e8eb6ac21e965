"""The live block, the line under a running cell: when it appears (`live`), its state (`state`), its
text (`line`), where it is drawn (`surfaces`).
"""
