-- A person's devices meet here while another one is linked; nothing of it outlives ten minutes.

CREATE TABLE linking (
    member TEXT NOT NULL,
    linking TEXT NOT NULL,
    sign_in BLOB NOT NULL,
    opening BLOB NOT NULL,
    reply BLOB NOT NULL,
    proof BLOB NOT NULL,
    given BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    ended TEXT NOT NULL,
    PRIMARY KEY (member)
) STRICT;
