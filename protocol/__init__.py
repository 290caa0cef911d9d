"""Formats, rules, state machines and cryptography of the network, without any I/O."""
