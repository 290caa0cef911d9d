-- Members, sign-in, devices, mailbox labels, mentors, consents and outgoing mail.

CREATE TABLE member (
    member TEXT NOT NULL,
    hris_id TEXT NOT NULL,
    mail TEXT NOT NULL,
    active INTEGER NOT NULL,
    job_family TEXT NOT NULL,
    band TEXT NOT NULL,
    country TEXT NOT NULL,
    team TEXT NOT NULL,
    supervisor TEXT NOT NULL,
    languages TEXT NOT NULL,
    skills TEXT NOT NULL,
    imported_at INTEGER NOT NULL,
    left_at INTEGER,
    PRIMARY KEY (member),
    UNIQUE (hris_id)
) STRICT;

CREATE INDEX member_by_mail ON member (mail);

CREATE TABLE sign_in_link (
    token_hash BLOB NOT NULL,
    member TEXT NOT NULL,
    mail_hash BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (token_hash)
) STRICT;

CREATE INDEX sign_in_link_by_mail ON sign_in_link (mail_hash);

CREATE TABLE sign_in (
    token_hash BLOB NOT NULL,
    member TEXT NOT NULL,
    device TEXT,
    started_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (token_hash)
) STRICT;

CREATE INDEX sign_in_by_member ON sign_in (member);

CREATE TABLE device (
    device TEXT NOT NULL,
    member TEXT NOT NULL,
    hint TEXT NOT NULL,
    added_on INTEGER NOT NULL,
    seen_on INTEGER NOT NULL,
    PRIMARY KEY (device)
) STRICT;

CREATE INDEX device_by_member ON device (member);

CREATE TABLE enrolment (
    device TEXT NOT NULL,
    audience TEXT NOT NULL,
    member TEXT NOT NULL,
    device_id TEXT NOT NULL,
    identity_key TEXT NOT NULL,
    device_key TEXT NOT NULL,
    enrolment BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (device, audience),
    UNIQUE (device_id),
    UNIQUE (device_key)
) STRICT;

CREATE INDEX enrolment_by_member ON enrolment (member);

CREATE TABLE mailbox_label (
    label TEXT NOT NULL,
    member TEXT NOT NULL,
    audience TEXT NOT NULL,
    PRIMARY KEY (label),
    UNIQUE (member, audience)
) STRICT;

CREATE TABLE mentor (
    member TEXT NOT NULL,
    profile TEXT NOT NULL,
    opted_in INTEGER NOT NULL,
    listed INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (member)
) STRICT;

CREATE TABLE consent (
    member TEXT NOT NULL,
    kind TEXT NOT NULL,
    version INTEGER NOT NULL,
    given_at INTEGER NOT NULL,
    withdrawn_at INTEGER,
    PRIMARY KEY (member, kind, version)
) STRICT;

CREATE TABLE mail (
    mail TEXT NOT NULL,
    member TEXT NOT NULL,
    recipient TEXT NOT NULL,
    language TEXT NOT NULL,
    notice TEXT NOT NULL,
    tries INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (mail)
) STRICT;

CREATE INDEX mail_by_due ON mail (due_at);
