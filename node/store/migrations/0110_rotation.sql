-- Changed keys: of peers, and of this node.

CREATE TABLE revoked_key (
    entity TEXT NOT NULL,
    public TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (entity, public)
) STRICT, WITHOUT ROWID;

CREATE TABLE pending_document (
    entity TEXT PRIMARY KEY NOT NULL,
    federation_key TEXT NOT NULL,
    document BLOB NOT NULL,
    first_seen INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT;

CREATE TABLE told_document (
    entity TEXT PRIMARY KEY NOT NULL,
    hash BLOB NOT NULL,
    at INTEGER NOT NULL
) STRICT;
