"""Pure ranking of mirrored offers for one need."""
