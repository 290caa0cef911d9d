"""The tables that node-to-node code reads and writes, a section for each part; one class is one table.

The tables themselves are made by `node/store/migrations/`; a test compares both, column by column.
"""

# Peers

# Offers

# Handshake

# Session
