"""Our formats, read and written by independent implementations."""
