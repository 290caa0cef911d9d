-- Documents that peers had before they changed the keys by which they can be held to what they signed.

CREATE TABLE earlier_document (
    entity TEXT NOT NULL,
    seq INTEGER NOT NULL,
    document BLOB NOT NULL,
    replaced_at INTEGER NOT NULL,
    PRIMARY KEY (entity, seq)
) STRICT;
