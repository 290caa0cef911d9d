-- When this organization looked up whom a report is about, and for which key: once, and no other.

ALTER TABLE report ADD COLUMN named_at INTEGER;
ALTER TABLE report ADD COLUMN named_key TEXT NOT NULL DEFAULT '';
