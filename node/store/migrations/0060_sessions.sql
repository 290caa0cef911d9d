-- Sessions and the mailboxes of people's devices.

CREATE TABLE session (
    thread TEXT NOT NULL,
    side TEXT NOT NULL,
    peer TEXT NOT NULL,
    label TEXT NOT NULL,
    state TEXT NOT NULL,
    slot INTEGER,
    ends_at INTEGER NOT NULL,
    destroy_at INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    heard INTEGER NOT NULL,
    number INTEGER NOT NULL,
    closed_own INTEGER NOT NULL,
    closed_their INTEGER NOT NULL,
    PRIMARY KEY (thread, side)
) STRICT;

CREATE TABLE mailbox (
    label TEXT NOT NULL,
    cursor INTEGER NOT NULL,
    thread TEXT NOT NULL,
    side TEXT NOT NULL,
    kind TEXT NOT NULL,
    data BLOB NOT NULL,
    total INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (label, cursor)
) STRICT;

CREATE TABLE mailbox_head (
    label TEXT NOT NULL,
    cursor INTEGER NOT NULL,
    total INTEGER NOT NULL,
    PRIMARY KEY (label)
) STRICT;

CREATE TABLE mailbox_ack (
    label TEXT NOT NULL,
    device TEXT NOT NULL,
    cursor INTEGER NOT NULL,
    PRIMARY KEY (label, device)
) STRICT;

CREATE INDEX session_destroy ON session (destroy_at);
CREATE INDEX mailbox_thread ON mailbox (thread);
CREATE INDEX mailbox_at ON mailbox (at);
