"""Fields on periodic lattices, and the files that hold them."""
