-- Bytes of encrypted files where they do not stand beside the database: in PostgreSQL, and in backups.

CREATE TABLE blob_piece (
    blob TEXT NOT NULL,
    piece INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (blob, piece)
) STRICT;
