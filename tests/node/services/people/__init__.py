"""Tests of members, accounts, mentors, mail and erasure."""
