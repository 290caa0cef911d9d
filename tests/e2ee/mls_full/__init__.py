"""What RFC 9420 has and the product's profile leaves out, so that the official vectors can be played; tests only."""
