-- Encrypted files of sessions: what is kept about them; their bytes are files beside the database.

CREATE TABLE blob (
    blob TEXT NOT NULL,
    thread TEXT NOT NULL,
    side TEXT NOT NULL,
    label TEXT NOT NULL,
    peer TEXT NOT NULL,
    size INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (blob)
) STRICT;

CREATE INDEX blob_thread ON blob (thread);
CREATE INDEX blob_label ON blob (label);
CREATE INDEX blob_expires ON blob (expires_at);
