-- Cursors, the ledger of delivery between nodes, and the life of this database.

CREATE TABLE delivery_life (
    entity TEXT NOT NULL,
    life TEXT NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY (entity)
) STRICT;

CREATE TABLE delivery (
    peer TEXT NOT NULL,
    stored INTEGER NOT NULL,
    stored_at INTEGER,
    told_life TEXT NOT NULL,
    told INTEGER NOT NULL,
    told_at INTEGER,
    lost INTEGER NOT NULL,
    recovering INTEGER NOT NULL,
    PRIMARY KEY (peer)
) STRICT;

CREATE TABLE delivery_ledger (
    peer TEXT NOT NULL,
    way TEXT NOT NULL,
    day INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    dead INTEGER NOT NULL,
    PRIMARY KEY (peer, way, day)
) STRICT;

CREATE INDEX delivery_ledger_day ON delivery_ledger (day);
CREATE INDEX thread_peer ON thread (peer, thread);
CREATE INDEX outbox_created ON outbox (peer, created_ms);
