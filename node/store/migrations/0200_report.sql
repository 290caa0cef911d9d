-- Reports of what was said in sessions: those that came for the contact here, and those on their way to a peer's.

CREATE TABLE report (
    source TEXT NOT NULL,
    report TEXT NOT NULL,
    target TEXT NOT NULL,
    member TEXT NOT NULL,
    item BLOB NOT NULL,
    made_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    received_at INTEGER,
    closed_at INTEGER,
    outcome TEXT NOT NULL,
    refused TEXT NOT NULL,
    next_at INTEGER,
    purge_at INTEGER NOT NULL,
    PRIMARY KEY (source, report)
) STRICT;

CREATE INDEX report_member ON report (member);
CREATE INDEX report_next ON report (next_at);
CREATE INDEX report_purge ON report (purge_at);
