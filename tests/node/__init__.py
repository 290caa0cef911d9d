"""Tests of one organization's server."""
