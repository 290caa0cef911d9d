"""Tests of what only a person's device may do."""
