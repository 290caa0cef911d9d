"""Several real nodes as processes on loopback."""
