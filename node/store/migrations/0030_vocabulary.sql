-- Imported vocabularies: public concepts and labels, in compressed pages that are read as a whole.

CREATE TABLE vocabulary_scheme (
    scheme TEXT NOT NULL,
    source TEXT NOT NULL,
    concepts INTEGER NOT NULL,
    imported_at INTEGER NOT NULL,
    PRIMARY KEY (scheme)
) STRICT;

CREATE TABLE vocabulary_page (
    scheme TEXT NOT NULL,
    page INTEGER NOT NULL,
    concepts BLOB NOT NULL,
    PRIMARY KEY (scheme, page)
) STRICT;
