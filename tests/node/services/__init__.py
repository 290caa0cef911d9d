"""Tests of what a person or a peer may do."""
