"""The notebook's folder: found and packed in the kernel, laid out and collected in the child."""
