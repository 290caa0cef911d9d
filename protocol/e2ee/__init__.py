"""What only a person's own device may do: open and seal private content."""
