-- Key directories: own entries, proofs of heads, attestations, erasures that peers confirm.

CREATE TABLE key_directory (
    audience TEXT NOT NULL PRIMARY KEY,
    generation INTEGER NOT NULL,
    state BLOB NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;

CREATE TABLE key_entry (
    audience TEXT NOT NULL,
    label TEXT NOT NULL,
    seq INTEGER NOT NULL,
    salt BLOB NOT NULL,
    body BLOB NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (audience, label)
) STRICT;

CREATE TABLE head_proof (
    origin TEXT NOT NULL,
    audience TEXT NOT NULL,
    kind TEXT NOT NULL,
    seq INTEGER NOT NULL,
    head TEXT NOT NULL,
    log TEXT NOT NULL,
    complete INTEGER NOT NULL,
    PRIMARY KEY (origin, audience, kind, seq)
) STRICT;

CREATE TABLE head_attestation (
    origin TEXT NOT NULL,
    audience TEXT NOT NULL,
    kind TEXT NOT NULL,
    seq INTEGER NOT NULL,
    attester TEXT NOT NULL,
    statement TEXT NOT NULL,
    told INTEGER NOT NULL,
    PRIMARY KEY (origin, audience, kind, seq, attester)
) STRICT;

CREATE TABLE entry_erasure (
    audience TEXT NOT NULL,
    commitment TEXT NOT NULL,
    peer TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    retry_at INTEGER NOT NULL,
    receipt TEXT NOT NULL,
    PRIMARY KEY (audience, commitment, peer)
) STRICT;

CREATE INDEX enrolment_by_audience ON enrolment (audience);
CREATE INDEX entry_erasure_by_receipt ON entry_erasure (receipt, retry_at);
