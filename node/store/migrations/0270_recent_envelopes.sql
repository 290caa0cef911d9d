-- What a session remembers of the envelopes it received last: a repeat is known by it, without a row for each.

ALTER TABLE session ADD COLUMN recent TEXT NOT NULL DEFAULT '';
