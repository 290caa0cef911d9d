-- The hub counts the key changes of a session, so that what was encrypted before them is sent anew.

ALTER TABLE session ADD COLUMN epoch INTEGER NOT NULL DEFAULT 1;
