"""The live block, the line under a running cell: when it shows (`live`), what it knows (`state`)
and says (`line`), where it is drawn (`surfaces`). Beside it the progress of loops (`tracking`), and
how numbers are written for people everywhere (`units`).
"""
