"""`mentormesh demo`: fictional companies on this machine, one need, one conversation, and a search for its words."""
