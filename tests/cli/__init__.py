"""Tests of the mentormesh program."""
