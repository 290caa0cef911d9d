-- What each process of a node committed last: it tells whether a commit was kept whose answer was lost. PostgreSQL only.

CREATE TABLE last_commit (
    process TEXT NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (process)
) STRICT;
