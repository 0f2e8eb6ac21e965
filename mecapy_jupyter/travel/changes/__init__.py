"""Which inputs a cell changed in place, and the same change made at home."""
