"""Tests of the behaviour between two nodes."""
