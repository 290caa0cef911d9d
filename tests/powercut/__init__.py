"""Power cuts: databases as they may lie on a disk that lost what was not synced, opened again by the real store.

See docs/explanation/how-we-test-federation.md.
"""
