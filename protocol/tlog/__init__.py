"""Transparency log formats: Merkle trees now; checkpoints, tiles and cosignatures join them."""
