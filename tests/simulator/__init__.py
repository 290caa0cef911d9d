"""Whole federations in one process and no real time: real nodes, a network and disks that fail on purpose.

See docs/explanation/how-we-test-federation.md.
"""
