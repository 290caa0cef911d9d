"""One organization's server: its people, its offers and its side of every handshake."""
