-- Watching logs: what witness and watcher hold of others, cosignatures of our own, evidence.

CREATE TABLE witnessed_log (
    origin TEXT NOT NULL PRIMARY KEY,
    size INTEGER NOT NULL,
    note BLOB NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE TABLE cosignature (
    log INTEGER NOT NULL,
    witness TEXT NOT NULL,
    size INTEGER NOT NULL,
    line BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (log, witness)
) STRICT;

CREATE TABLE log_ahead (
    log INTEGER NOT NULL PRIMARY KEY,
    size INTEGER NOT NULL,
    note BLOB NOT NULL,
    said_by TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE TABLE log_override (
    log INTEGER NOT NULL,
    size INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (log, size)
) STRICT;

CREATE TABLE watched_log (
    origin TEXT NOT NULL PRIMARY KEY,
    entity TEXT NOT NULL,
    size INTEGER NOT NULL,
    note BLOB NOT NULL,
    document TEXT NOT NULL,
    read INTEGER NOT NULL,
    problem TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE TABLE watched_head (
    origin TEXT NOT NULL,
    chain TEXT NOT NULL,
    seq INTEGER NOT NULL,
    number INTEGER NOT NULL,
    commitment TEXT NOT NULL,
    PRIMARY KEY (origin, chain, seq)
) STRICT;

CREATE INDEX watched_head_by_chain ON watched_head (chain, seq);

CREATE TABLE evidence_bundle (
    hash TEXT NOT NULL PRIMARY KEY,
    accused TEXT NOT NULL,
    kind TEXT NOT NULL,
    bundle BLOB NOT NULL,
    source TEXT NOT NULL,
    bound INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE TABLE frozen (
    peer TEXT NOT NULL PRIMARY KEY,
    bundle TEXT NOT NULL,
    since INTEGER NOT NULL
) STRICT;
