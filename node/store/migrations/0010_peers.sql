-- Peers, the tickets that let them in, and the requests they already made.

CREATE TABLE peer (
    entity TEXT NOT NULL PRIMARY KEY,
    connect_to TEXT NOT NULL,
    keyid TEXT NOT NULL UNIQUE,
    federation_key TEXT NOT NULL,
    document BLOB NOT NULL,
    recovered INTEGER NOT NULL,
    mode TEXT NOT NULL,
    mode_reason TEXT NOT NULL,
    mode_until INTEGER,
    added_at INTEGER NOT NULL,
    fetched_at INTEGER NOT NULL
) STRICT;

CREATE TABLE nonce (
    keyid TEXT NOT NULL,
    nonce TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (keyid, nonce)
) STRICT, WITHOUT ROWID;

CREATE INDEX nonce_expires_at ON nonce (expires_at);

CREATE TABLE invite (
    code_hash BLOB NOT NULL PRIMARY KEY,
    entity TEXT NOT NULL,
    policy TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_by TEXT
) STRICT;

CREATE TABLE own_document (
    entity TEXT NOT NULL PRIMARY KEY,
    document BLOB NOT NULL
) STRICT;
