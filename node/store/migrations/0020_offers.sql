-- Own catalogs, set heads and pages; the sets of peers.

CREATE TABLE catalog (
    audience TEXT NOT NULL PRIMARY KEY,
    edition INTEGER NOT NULL,
    state BLOB NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;

CREATE TABLE set_head (
    audience TEXT NOT NULL,
    kind TEXT NOT NULL,
    seq INTEGER NOT NULL,
    head TEXT NOT NULL,
    head_hash TEXT NOT NULL,
    pages_of INTEGER NOT NULL,
    pages INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    issued_at INTEGER NOT NULL,
    PRIMARY KEY (audience, kind, seq)
) STRICT;

CREATE TABLE set_page (
    audience TEXT NOT NULL,
    kind TEXT NOT NULL,
    seq INTEGER NOT NULL,
    page INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (audience, kind, seq, page)
) STRICT;

CREATE TABLE mirror (
    origin TEXT NOT NULL,
    audience TEXT NOT NULL,
    kind TEXT NOT NULL,
    seq INTEGER NOT NULL,
    head TEXT NOT NULL,
    head_hash TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    state TEXT NOT NULL,
    entries INTEGER NOT NULL,
    etag TEXT NOT NULL,
    evidence TEXT NOT NULL,
    PRIMARY KEY (origin, audience, kind)
) STRICT;

CREATE TABLE mirror_body (
    origin TEXT NOT NULL,
    audience TEXT NOT NULL,
    kind TEXT NOT NULL,
    commitment BLOB NOT NULL,
    shard INTEGER NOT NULL,
    salt BLOB NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (origin, audience, kind, commitment)
) STRICT;
