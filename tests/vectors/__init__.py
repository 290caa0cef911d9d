"""Inputs and results that the specification names, read by every implementation."""
