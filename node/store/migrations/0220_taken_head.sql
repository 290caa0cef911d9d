-- Mirrored heads that wait to be seen in the log of their origin.

CREATE TABLE taken_head (
    origin TEXT NOT NULL,
    chain TEXT NOT NULL,
    seq INTEGER NOT NULL,
    head TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    PRIMARY KEY (origin, chain, seq)
) STRICT;
