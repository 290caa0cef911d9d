-- The node's own log.

CREATE TABLE log_entry (
    log INTEGER NOT NULL,
    number INTEGER NOT NULL,
    entry BLOB NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (log, number)
) STRICT;

CREATE INDEX log_entry_by_hash ON log_entry (hash);

CREATE TABLE log_tile (
    log INTEGER NOT NULL,
    level INTEGER NOT NULL,
    number INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (log, level, number)
) STRICT;

CREATE TABLE log_checkpoint (
    log INTEGER NOT NULL,
    size INTEGER NOT NULL,
    grown_from INTEGER NOT NULL,
    note BLOB NOT NULL,
    generation INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (log, size),
    UNIQUE (log, grown_from)
) STRICT;

CREATE TABLE log_stated (
    log INTEGER NOT NULL,
    subject TEXT NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (log, subject)
) STRICT;

CREATE TABLE log_agreement (
    thread TEXT NOT NULL,
    side TEXT NOT NULL,
    digest BLOB NOT NULL,
    salt BLOB NOT NULL,
    leaf BLOB NOT NULL,
    purge_at INTEGER NOT NULL,
    PRIMARY KEY (thread, side)
) STRICT;

CREATE INDEX log_agreement_by_leaf ON log_agreement (leaf);

CREATE TABLE log_period (
    leaf BLOB NOT NULL PRIMARY KEY,
    commitments BLOB NOT NULL,
    purge_at INTEGER NOT NULL
) STRICT;
