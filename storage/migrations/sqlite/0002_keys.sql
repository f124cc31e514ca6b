-- Environments, signing keys, uses of them, and the record.
-- Ids are UUIDs as 16 bytes, times seconds since 1970-01-01T00:00:00Z.

CREATE TABLE server (
    one              INTEGER PRIMARY KEY CHECK (one = 1),
    server_id        BLOB NOT NULL CHECK (length(server_id) = 16),
    registry_version INTEGER NOT NULL,
    created          INTEGER NOT NULL,
    clock_doubt         INTEGER,   -- when a jump of a clock was found that nobody has confirmed since; NULL: none
    clock_doubt_seconds INTEGER,   -- by how much it went ahead, or back if negative
    clock_doubt_node    BLOB CHECK (length(clock_doubt_node) = 16),
    clock_confirmations INTEGER NOT NULL DEFAULT 0,
    -- Grow with each change of rules, and of templates.
    rules_version     INTEGER NOT NULL DEFAULT 0,
    templates_version INTEGER NOT NULL DEFAULT 0,
    -- Grows with each change of an approval.
    approvals_version INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE environment (
    id      BLOB PRIMARY KEY CHECK (length(id) = 16),
    name    TEXT NOT NULL UNIQUE,
    kind    TEXT NOT NULL CHECK (kind IN ('sealed', 'pkcs11')),
    created INTEGER NOT NULL,
    -- Sealed stores: the id of the master key that components are stored under. NULL before a signer has named it.
    master_key BLOB CHECK (length(master_key) = 8),
    -- The one before, while components may be stored under it.
    earlier_master_key BLOB CHECK (length(earlier_master_key) = 8)
) STRICT;

-- How the attempts to log in to a token with the PIN that is configured for it stand, over all servers. A row exists from
-- the first attempt on; an attempt that nobody concluded is as good as refused.
CREATE TABLE pin_attempt (
    environment_id BLOB PRIMARY KEY REFERENCES environment (id),
    state          TEXT NOT NULL CHECK (state IN ('trying', 'good', 'refused')),
    node_id        BLOB NOT NULL CHECK (length(node_id) = 16),
    at             INTEGER NOT NULL
) STRICT;

-- Component keys that are being made, before their key is stored. What is left here when nobody makes them any more may lie on
-- a token and is removed from there.
CREATE TABLE component_attempt (
    component_id   BLOB PRIMARY KEY,
    key_id         BLOB NOT NULL,
    key_name       TEXT NOT NULL,
    project_id     BLOB NOT NULL REFERENCES project (id),
    environment_id BLOB NOT NULL REFERENCES environment (id),
    role           TEXT NOT NULL,
    request_id     BLOB NOT NULL,
    node_id        BLOB NOT NULL,
    failed         INTEGER NOT NULL CHECK (failed IN (0, 1))
) STRICT;

CREATE TABLE signing_key (
    id             BLOB PRIMARY KEY CHECK (length(id) = 16),
    project_id     BLOB NOT NULL REFERENCES project (id),
    environment_id BLOB NOT NULL REFERENCES environment (id),
    name           TEXT NOT NULL,
    algorithm      TEXT NOT NULL,
    user_id        TEXT NOT NULL,
    fingerprint    BLOB NOT NULL UNIQUE CHECK (length(fingerprint) = 20),
    -- 40 bits: the manufacturer's low byte and the four bytes of the card's serial number.
    serial         INTEGER NOT NULL UNIQUE CHECK (serial BETWEEN 0 AND 1095216660479),
    certificate    TEXT NOT NULL,
    disabled       INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
    created        INTEGER NOT NULL,
    -- Then disabled too, and for good.
    destroyed      INTEGER,
    -- Then disabled too, and for good.
    revoked        INTEGER,
    -- What its certificate says then.
    revocation_reason  TEXT CHECK (revocation_reason IN ('unspecified', 'compromised', 'superseded', 'retired')),
    revocation_message TEXT,
    UNIQUE (project_id, name)
) STRICT;

-- A card's serial number is never used again, so its row never goes.
CREATE TRIGGER signing_key_stays BEFORE DELETE ON signing_key
BEGIN
    SELECT RAISE(ABORT, 'signing keys are never deleted');
END;

-- Apart from signing_key, whose certificates everyone may see.
CREATE TABLE key_revocation (
    key_id      BLOB PRIMARY KEY REFERENCES signing_key (id),
    certificate TEXT NOT NULL
) STRICT;

-- Apart from signing_key, whose rows are long: this one is rewritten with each signature.
CREATE TABLE card_counter (
    key_id     BLOB PRIMARY KEY REFERENCES signing_key (id),
    signatures INTEGER NOT NULL
) STRICT;

CREATE TABLE component_key (
    id              BLOB PRIMARY KEY CHECK (length(id) = 16),
    key_id          BLOB NOT NULL REFERENCES signing_key (id),
    role            TEXT NOT NULL CHECK (role IN ('certify', 'sign', 'decrypt', 'authenticate')),
    algorithm       TEXT NOT NULL,
    -- RSA: the modulus. Elliptic curves: the point.
    public_key      BLOB NOT NULL,
    -- RSA only.
    public_exponent BLOB,
    -- How the signer comes to the private half.
    handle          BLOB NOT NULL,
    fingerprint     BLOB NOT NULL UNIQUE CHECK (length(fingerprint) = 20),
    created         INTEGER NOT NULL,
    -- Its own end or its certificate's, whichever is earlier.
    expires         INTEGER,
    -- Alone: its key has a time of its own for that.
    revoked         INTEGER NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1)),
    UNIQUE (key_id, role)
) STRICT;

-- Rules of an environment, project or key: the version with the largest number is in force. No references: a version tells
-- who wrote it and what it belonged to, whatever became of them.
CREATE TABLE rule_version (
    scope     TEXT NOT NULL CHECK (scope IN ('environment', 'project', 'key')),
    subject   BLOB NOT NULL CHECK (length(subject) = 16),
    version   INTEGER NOT NULL CHECK (version > 0),
    text      TEXT,                 -- NULL: the rules were removed
    author_id BLOB NOT NULL CHECK (length(author_id) = 16),
    author    TEXT NOT NULL,
    applied   INTEGER NOT NULL,
    note      TEXT NOT NULL,
    PRIMARY KEY (scope, subject, version)
) STRICT;

CREATE TRIGGER rules_are_never_changed BEFORE UPDATE ON rule_version
BEGIN
    SELECT RAISE(ABORT, 'versions of rules are append-only');
END;

CREATE TRIGGER rules_are_never_forgotten BEFORE DELETE ON rule_version
BEGIN
    SELECT RAISE(ABORT, 'versions of rules are append-only');
END;

-- The rules in force.
CREATE VIEW rule_current AS
    SELECT scope, subject, version, text, author_id, author, applied, note FROM rule_version v
    WHERE text IS NOT NULL AND version = (SELECT max(n.version) FROM rule_version n
        WHERE n.scope = v.scope AND n.subject = v.subject);

-- Templates that rules link to, as rule_version.
CREATE TABLE template_version (
    name      TEXT NOT NULL,
    version   INTEGER NOT NULL CHECK (version > 0),
    change    INTEGER NOT NULL UNIQUE,    -- server.templates_version from this version on
    text      TEXT NOT NULL,
    withdrawn INTEGER NOT NULL CHECK (withdrawn IN (0, 1)),
    author_id BLOB NOT NULL CHECK (length(author_id) = 16),
    author    TEXT NOT NULL,
    applied   INTEGER NOT NULL,
    note      TEXT NOT NULL,
    PRIMARY KEY (name, version)
) STRICT;

CREATE TRIGGER templates_are_never_changed BEFORE UPDATE ON template_version
BEGIN
    SELECT RAISE(ABORT, 'versions of templates are append-only');
END;

CREATE TRIGGER templates_are_never_forgotten BEFORE DELETE ON template_version
BEGIN
    SELECT RAISE(ABORT, 'versions of templates are append-only');
END;

-- What the rules in force name, so that it is neither renamed nor removed: the name of a key is PROJECT/NAME.
CREATE TABLE rule_mention (
    scope   TEXT NOT NULL CHECK (scope IN ('environment', 'project', 'key')),
    subject BLOB NOT NULL,
    kind    TEXT NOT NULL,
    name    TEXT NOT NULL,
    rule    TEXT NOT NULL,          -- the first rule that names it; empty if it is outside of one
    PRIMARY KEY (scope, subject, kind, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX rule_mention_name ON rule_mention (kind, name);

-- The same for templates that are not withdrawn.
CREATE TABLE template_mention (
    template TEXT NOT NULL,
    kind     TEXT NOT NULL,
    name     TEXT NOT NULL,
    PRIMARY KEY (template, kind, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX template_mention_name ON template_mention (kind, name);

-- What a token said of a key after it was made or adopted there, as JSON.
CREATE TABLE key_evidence (
    component_id BLOB PRIMARY KEY REFERENCES component_key (id),
    evidence     TEXT NOT NULL,
    read         INTEGER NOT NULL
) STRICT;

-- One row for each idempotency key. No references: what a row tells stays true when its principal or grant has gone.
CREATE TABLE key_request (
    id              BLOB PRIMARY KEY CHECK (length(id) = 16),
    principal_id    BLOB NOT NULL,
    idempotency_key BLOB NOT NULL CHECK (length(idempotency_key) = 16),
    grant_id        BLOB NOT NULL,
    key_id          BLOB NOT NULL,
    component_id    BLOB,
    operation       TEXT NOT NULL,
    input_sha256    BLOB NOT NULL CHECK (length(input_sha256) = 32),
    state           TEXT NOT NULL CHECK (state IN ('received', 'denied', 'waiting', 'approved', 'signing',
                        'signed', 'failed', 'unknown', 'rejected', 'expired', 'cancelled')),
    -- The signature. Never a decrypted text.
    signature       BLOB CHECK (signature IS NULL OR operation <> 'decrypt'),
    project_id      BLOB,
    -- The running server that works, or worked, on it.
    node_id         BLOB NOT NULL CHECK (length(node_id) = 16),
    -- The approval that it waits for, or was allowed by, and until when it waits.
    approval_id     BLOB,
    deadline        INTEGER,
    UNIQUE (principal_id, idempotency_key)
) STRICT;

CREATE INDEX key_request_unfinished ON key_request (id) WHERE state = 'signing';

-- What people are to look at.
CREATE INDEX key_request_open ON key_request (state) WHERE state IN ('waiting', 'unknown');

CREATE INDEX key_request_waiting ON key_request (project_id, principal_id) WHERE state = 'waiting';

-- What people are asked to approve, and what they have approved. No references: who asked and what for may go.
CREATE TABLE approval (
    id           BLOB PRIMARY KEY,
    kind         TEXT NOT NULL CHECK (kind IN ('use', 'pre-approval', 'break-glass', 'change')),
    state        TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'rejected', 'expired', 'cancelled', 'revoked',
                     'spent')),
    version      INTEGER NOT NULL,     -- what a decision names
    change       INTEGER NOT NULL,     -- server.approvals_version since it is so
    created      INTEGER NOT NULL,
    expires      INTEGER NOT NULL,
    use_seconds  INTEGER NOT NULL,     -- for how long it can be used once approved
    asked_by     BLOB NOT NULL,
    project_id   BLOB,
    key_id       BLOB,
    operation    TEXT,
    request_id   BLOB,              -- the request that waits for it
    requester_id BLOB,              -- who may use it: a principal, or the members of a group
    group_id     BLOB,
    host         TEXT,
    max_uses     INTEGER,              -- NULL: as many as they like
    used         INTEGER NOT NULL,
    not_before   INTEGER,
    reviewed     INTEGER,              -- break-glass: when its review was closed
    revoked_by   BLOB,              -- who took it back
    reminded     INTEGER,              -- when those who have not decided were reminded
    body         TEXT NOT NULL,       -- the rest, as JSON
    CHECK (requester_id IS NULL OR group_id IS NULL)
) STRICT;

CREATE INDEX approval_open ON approval (key_id, operation) WHERE state IN ('pending', 'approved');
CREATE INDEX approval_change ON approval (change);

-- What people decided. One of each person for each flow.
CREATE TABLE approval_decision (
    approval_id BLOB NOT NULL REFERENCES approval (id) ON DELETE CASCADE,
    flow        TEXT NOT NULL,
    approver_id BLOB NOT NULL,
    stage       TEXT NOT NULL,     -- a group's name, or role: and a role's
    verdict     TEXT NOT NULL CHECK (verdict IN ('approve', 'reject')),
    comment     TEXT,
    at          INTEGER NOT NULL,
    PRIMARY KEY (approval_id, flow, approver_id)
) STRICT, WITHOUT ROWID;

-- How much of each quota is used in a window. No references: rules, principals and keys may go.
CREATE TABLE quota_use (
    owner_id   BLOB NOT NULL,     -- what has the rules that the quota is in
    quota      TEXT NOT NULL,
    subject_id BLOB NOT NULL,     -- what is counted
    start      INTEGER NOT NULL,
    ends       INTEGER NOT NULL,
    used       INTEGER NOT NULL,
    PRIMARY KEY (owner_id, quota, subject_id, start)
) STRICT, WITHOUT ROWID;

CREATE INDEX quota_use_ends ON quota_use (ends);

-- What people are told by mail and in channels: written in the transaction of what it tells of, sent later. No references
-- to what it is about.
CREATE TABLE notice (
    id         BLOB PRIMARY KEY CHECK (length(id) = 16),
    kind       TEXT NOT NULL,
    created    INTEGER NOT NULL,
    project_id BLOB,
    project    TEXT,
    title      TEXT NOT NULL,
    facts      TEXT NOT NULL,     -- JSON: an array of labels and values
    command    TEXT,
    thread     BLOB,
    recipients TEXT NOT NULL,     -- JSON: an array of the ids of principals
    loud       INTEGER NOT NULL DEFAULT 0,
    channel    TEXT,              -- the only one that it is for; NULL: all that want it
    addressed  INTEGER NOT NULL DEFAULT 0  -- whether it has its deliveries
) STRICT;

CREATE INDEX notice_new ON notice (id) WHERE NOT addressed;

CREATE TABLE notice_delivery (
    id           BLOB PRIMARY KEY CHECK (length(id) = 16),
    notice_id    BLOB NOT NULL REFERENCES notice (id) ON DELETE CASCADE,
    channel      TEXT NOT NULL,
    principal_id BLOB,             -- whom a mail is for
    state        TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed', 'dropped')),
    message_id   BLOB NOT NULL,    -- deliveries with the same one are sent as one message
    held         INTEGER NOT NULL DEFAULT 0,  -- until it is sent with others in one mail
    attempts     INTEGER NOT NULL DEFAULT 0,
    next_attempt INTEGER NOT NULL,
    leased_until INTEGER,             -- a node has it in work
    node_id      BLOB,             -- that node
    finished     INTEGER,
    error        TEXT
) STRICT;

CREATE INDEX notice_delivery_notice ON notice_delivery (notice_id);
CREATE INDEX notice_delivery_pending ON notice_delivery (channel, next_attempt) WHERE state = 'pending';
CREATE INDEX notice_delivery_message ON notice_delivery (message_id) WHERE state = 'pending';
CREATE INDEX notice_delivery_failed ON notice_delivery (finished) WHERE state = 'failed';
CREATE INDEX notice_delivery_sent ON notice_delivery (principal_id, finished) WHERE state = 'delivered';

-- How a channel that was used works.
CREATE TABLE notice_channel (
    name           TEXT NOT NULL PRIMARY KEY,
    last_success   INTEGER,
    last_failure   INTEGER,
    last_error     TEXT,
    failures       INTEGER NOT NULL DEFAULT 0,    -- since the last success
    disabled_since INTEGER
) STRICT;

-- How far the record has left the server by a sink: entries up to `position` are with the receiver, parked or skipped.
CREATE TABLE sink (
    name         TEXT NOT NULL PRIMARY KEY,
    position     INTEGER NOT NULL CHECK (position >= 0),
    node_id      BLOB,             -- the node that delivers
    leased_until INTEGER,
    last_success INTEGER,
    last_failure INTEGER,
    last_error   TEXT,
    failures     INTEGER NOT NULL DEFAULT 0,    -- since the last success
    next_attempt INTEGER NOT NULL DEFAULT 0,
    stopped      INTEGER NOT NULL DEFAULT 0  -- the receiver wants no more, until an administrator acts
) STRICT;

-- Entries that a receiver refused for what they are.
CREATE TABLE sink_parked (
    sink     TEXT NOT NULL REFERENCES sink (name) ON DELETE CASCADE,
    sequence INTEGER NOT NULL,
    parked   INTEGER NOT NULL,
    error    TEXT NOT NULL,
    retry    INTEGER NOT NULL DEFAULT 0,  -- an administrator wants it tried again
    PRIMARY KEY (sink, sequence)
) STRICT;

CREATE TABLE record (
    sequence     INTEGER PRIMARY KEY,
    time         INTEGER NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('intent', 'outcome', 'denied', 'approval', 'authentication', 'administration')),
    event        TEXT NOT NULL,
    request_id   BLOB NOT NULL,
    -- The actor, or the principal that the entry is about if nobody was authenticated.
    principal_id BLOB,
    project_id   BLOB,
    key_id       BLOB,
    state        TEXT,
    signature_sha256 BLOB CHECK (length(signature_sha256) = 32),
    -- The exact bytes that the leaf commits to, and the salt of the commitment.
    body         TEXT NOT NULL,
    salt         BLOB NOT NULL CHECK (length(salt) = 16),
    -- The hash of the leaf.
    hash         BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- Roots of complete subtrees of the log: level 1 has those of 256 leaves, level 2 those of 256 of level 1, and so on.
CREATE TABLE record_subtree (
    level  INTEGER NOT NULL CHECK (level BETWEEN 1 AND 7),
    number INTEGER NOT NULL CHECK (number >= 0),
    hash   BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, number)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER record_subtree_is_never_changed BEFORE UPDATE ON record_subtree
BEGIN
    SELECT RAISE(ABORT, 'the record is append-only');
END;

CREATE TRIGGER record_subtree_is_never_removed BEFORE DELETE ON record_subtree
BEGIN
    SELECT RAISE(ABORT, 'the record is append-only');
END;

-- Keys that sign the log's checkpoints: one for each name that the log had.
CREATE TABLE log_key (
    component_id   BLOB NOT NULL PRIMARY KEY,
    environment_id BLOB NOT NULL REFERENCES environment (id),
    origin         TEXT NOT NULL UNIQUE,
    ed25519        BLOB NOT NULL CHECK (length(ed25519) = 32),
    ml_dsa_44      BLOB NOT NULL CHECK (length(ml_dsa_44) = 1312),
    handle         BLOB NOT NULL,
    created        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The newest checkpoint of each, with the cosignatures that it has so far. Older ones can be made anew by nobody, and are
-- needed by nobody: each newer one covers them.
CREATE TABLE log_checkpoint (
    origin TEXT NOT NULL PRIMARY KEY REFERENCES log_key (origin),
    size   INTEGER NOT NULL,
    note   TEXT NOT NULL,
    time   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The checkpoint of each that is given out: the newest one that enough witnesses have cosigned, or the newest one if none
-- are configured.
CREATE TABLE log_published (
    origin TEXT NOT NULL PRIMARY KEY REFERENCES log_key (origin),
    size   INTEGER NOT NULL,
    note   TEXT NOT NULL,
    time   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How witnesses of each are, by the name of their keys.
CREATE TABLE log_witness (
    origin       TEXT NOT NULL REFERENCES log_key (origin),
    name         TEXT NOT NULL,
    size         INTEGER NOT NULL DEFAULT 0 CHECK (size >= 0),  -- of the newest checkpoint that it has cosigned
    node_id      BLOB,                                      -- the node that asks it
    leased_until INTEGER,
    last_success INTEGER,
    last_failure INTEGER,
    last_error   TEXT,
    failures     INTEGER NOT NULL DEFAULT 0,                    -- since the last success
    next_attempt INTEGER NOT NULL DEFAULT 0,
    forked       INTEGER NOT NULL DEFAULT 0,  -- it knows another log under this name
    PRIMARY KEY (origin, name)
) STRICT, WITHOUT ROWID;

-- What several servers keep beside the record has a place here too.
CREATE TABLE record_head (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    -- Transactions that have changed anything else than uses: whether what a use was judged by may have changed.
    changes INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO record_head (one) VALUES (1);

CREATE INDEX record_of_request ON record (request_id);
CREATE INDEX record_of_principal ON record (principal_id, sequence) WHERE principal_id IS NOT NULL;
CREATE INDEX record_of_signature ON record (signature_sha256) WHERE signature_sha256 IS NOT NULL;
CREATE INDEX record_of_project ON record (project_id, sequence) WHERE project_id IS NOT NULL;
CREATE INDEX record_of_key ON record (key_id, sequence) WHERE key_id IS NOT NULL;

CREATE TRIGGER record_is_never_changed BEFORE UPDATE ON record
BEGIN
    SELECT RAISE(ABORT, 'the record is append-only');
END;

CREATE TRIGGER record_is_never_shortened BEFORE DELETE ON record
BEGIN
    SELECT RAISE(ABORT, 'the record is append-only');
END;
