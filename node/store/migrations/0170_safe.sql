-- What a person's devices keep at their own node, sealed by the person: the recovery copy and the archive.

CREATE TABLE safe (
    member TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    data BLOB NOT NULL,
    stored_on INTEGER NOT NULL,
    PRIMARY KEY (member, name)
) STRICT;
