"""Everything a node keeps on disk, and the only place with SQL."""
