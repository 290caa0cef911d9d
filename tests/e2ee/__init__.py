"""Tests of end-to-end encryption: MLS against official vectors, other implementations and attackers."""
