-- Who has recovery words takes out their data after they left, known by the hash of a value that the words give.

ALTER TABLE safe ADD COLUMN locator BLOB;

CREATE INDEX safe_by_locator ON safe (locator);
