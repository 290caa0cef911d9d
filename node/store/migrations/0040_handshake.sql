-- Threads, their messages, places, outbox and inbox.

CREATE TABLE thread (
    thread TEXT NOT NULL,
    side TEXT NOT NULL,
    peer TEXT NOT NULL,
    label TEXT NOT NULL,
    state TEXT NOT NULL,
    deadline INTEGER,
    book BLOB NOT NULL,
    notes BLOB NOT NULL,
    purge_at INTEGER NOT NULL,
    PRIMARY KEY (thread, side)
) STRICT;

CREATE TABLE message (
    thread TEXT NOT NULL,
    side TEXT NOT NULL,
    sender TEXT NOT NULL,
    seq INTEGER NOT NULL,
    mid TEXT NOT NULL,
    hash TEXT NOT NULL,
    item BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (thread, side, sender, seq)
) STRICT;

CREATE TABLE candidate (
    thread TEXT NOT NULL,
    ref TEXT NOT NULL,
    label TEXT NOT NULL,
    candidate BLOB NOT NULL,
    purge_at INTEGER NOT NULL,
    PRIMARY KEY (thread, ref)
) STRICT;

CREATE TABLE place (
    thread TEXT NOT NULL,
    label TEXT NOT NULL,
    taken_at INTEGER NOT NULL,
    free_at INTEGER NOT NULL,
    PRIMARY KEY (thread)
) STRICT;

CREATE TABLE slot (
    label TEXT NOT NULL,
    start INTEGER NOT NULL,
    thread TEXT NOT NULL,
    PRIMARY KEY (label, start)
) STRICT;

CREATE TABLE quote_quota (
    peer TEXT NOT NULL,
    day INTEGER NOT NULL,
    quoted INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    PRIMARY KEY (peer, day)
) STRICT;

CREATE TABLE outbox (
    peer TEXT NOT NULL,
    mid TEXT NOT NULL,
    thread TEXT NOT NULL,
    side TEXT NOT NULL,
    seq INTEGER NOT NULL,
    item BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (peer, mid)
) STRICT;

CREATE TABLE inbox (
    peer TEXT NOT NULL,
    mid TEXT NOT NULL,
    hash TEXT NOT NULL,
    outcome BLOB NOT NULL,
    purge_at INTEGER NOT NULL,
    PRIMARY KEY (peer, mid)
) STRICT;

CREATE TABLE evidence (
    peer TEXT NOT NULL,
    hash TEXT NOT NULL,
    thread TEXT NOT NULL,
    item BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (peer, hash)
) STRICT;

CREATE TABLE answer_link (
    token_hash TEXT NOT NULL,
    thread TEXT NOT NULL,
    action TEXT NOT NULL,
    slot INTEGER,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (token_hash)
) STRICT;

CREATE TABLE missed (
    label TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (label)
) STRICT;

CREATE INDEX thread_deadline ON thread (side, deadline);
CREATE INDEX thread_untaken ON thread (peer, side, label);
CREATE INDEX thread_label ON thread (label);
CREATE INDEX thread_purge ON thread (purge_at);
CREATE INDEX candidate_purge ON candidate (purge_at);
CREATE INDEX candidate_label ON candidate (label);
CREATE INDEX place_label ON place (label);
CREATE INDEX place_free ON place (free_at);
CREATE INDEX slot_thread ON slot (thread);
CREATE INDEX slot_start ON slot (start);
CREATE INDEX outbox_due ON outbox (peer, due_ms, mid);
CREATE INDEX outbox_thread ON outbox (thread, side, seq);
CREATE INDEX inbox_purge ON inbox (purge_at);
CREATE INDEX answer_link_thread ON answer_link (thread);
