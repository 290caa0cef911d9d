"""The Python end-to-end client of one person."""
