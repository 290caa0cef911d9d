"""The PostgreSQL store, beyond what the contract of every store says."""
