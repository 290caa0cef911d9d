-- How much each person's safe holds, so that nobody has to read all of it to know.

CREATE TABLE safe_use (
    member TEXT NOT NULL,
    things INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    PRIMARY KEY (member)
) STRICT;

INSERT INTO safe_use (member, things, size_bytes)
SELECT member, COUNT(*), SUM(LENGTH(data)) FROM safe GROUP BY member;
