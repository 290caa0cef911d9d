"""What a person or a peer may do on this node."""
