-- Consortia: whom this node admitted as a registry, and whom its own registries state as members.

ALTER TABLE peer ADD COLUMN via TEXT NOT NULL DEFAULT '';

ALTER TABLE invite ADD COLUMN consortium INTEGER NOT NULL DEFAULT 0;

CREATE TABLE registration (
    entity TEXT NOT NULL PRIMARY KEY,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    applied_at INTEGER NOT NULL,
    since INTEGER NOT NULL,
    attester INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    salt BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE membership (
    registry TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    charter TEXT NOT NULL,
    charter_url TEXT NOT NULL,
    joined_at INTEGER NOT NULL
) STRICT;

CREATE TABLE fellow (
    registry TEXT NOT NULL,
    entity TEXT NOT NULL,
    status TEXT NOT NULL,
    seq INTEGER NOT NULL,
    api TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    connect_to TEXT NOT NULL,
    since INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    attester INTEGER NOT NULL,
    met TEXT NOT NULL,
    problem TEXT NOT NULL,
    PRIMARY KEY (registry, entity)
) STRICT;

CREATE INDEX fellow_by_entity ON fellow (entity);
