-- Which tokens let somebody ask the same mentor again: a hash of each, until it runs out or is revoked.

CREATE TABLE contact_token (
    commitment BLOB NOT NULL,
    member TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (commitment)
) STRICT;

CREATE INDEX contact_token_by_member ON contact_token (member);
