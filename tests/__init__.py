"""Tests of the whole house; each folder mirrors a package or a kind of test."""
