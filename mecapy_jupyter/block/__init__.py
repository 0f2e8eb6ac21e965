"""The live block, the line under a running cell: when it shows (`live`), what it knows (`state`)
and
says (`line`), where it is drawn (`surfaces`).
"""
