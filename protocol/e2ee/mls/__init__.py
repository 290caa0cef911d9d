"""MLS (RFC 9420) in the profile of docs/protocol/48-mls.md: groups whose members alone read, sans-I/O and immutable."""
