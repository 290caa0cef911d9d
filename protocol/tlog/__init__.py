"""Transparency log formats of C2SP: Merkle trees, notes, checkpoints, tiles, witnesses, policies, proofs."""
