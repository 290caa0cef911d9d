"""Behaviour between two nodes, written against ports that a node fills in."""
