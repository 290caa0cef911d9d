"""Programs that make the vectors, one for each folder: `files()` gives path and content of each file."""
