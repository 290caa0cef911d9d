-- Sets of peers are kept as the pages in which they came. Those held as single entries are fetched anew.

DROP TABLE mirror_body;

CREATE TABLE mirror_page (
    origin TEXT NOT NULL,
    audience TEXT NOT NULL,
    kind TEXT NOT NULL,
    number INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (origin, audience, kind, number)
) STRICT;

UPDATE mirror SET state = 'incomplete', entries = 0, etag = '' WHERE state = 'complete';
