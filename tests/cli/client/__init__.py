"""Tests of the person's client."""
