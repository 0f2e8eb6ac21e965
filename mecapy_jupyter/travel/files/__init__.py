"""The notebook's folder: packed in the kernel; unpacked and collected in the child."""
