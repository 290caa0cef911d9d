"""Tests of the formats and rules, one file per source file."""
