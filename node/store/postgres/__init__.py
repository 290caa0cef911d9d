"""The store of nodes that outgrow one machine: a PostgreSQL database behind the same ports as the file."""
