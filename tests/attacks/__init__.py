"""The attacks on a node, one by one, with the exact answers; `index.py` says where each is tested."""
