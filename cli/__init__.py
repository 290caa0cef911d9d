"""The mentormesh program: operator commands, the person's client and the demo."""
