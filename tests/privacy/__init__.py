"""Proofs that nothing private leaves the room it belongs to."""
