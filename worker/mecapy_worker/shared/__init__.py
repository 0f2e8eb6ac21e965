"""What worker, zygote and child share: frames, kernel calls."""
