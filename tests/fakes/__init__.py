"""Stand-ins for the clock, entropy, the network and the disk; everything else is real in a test."""
