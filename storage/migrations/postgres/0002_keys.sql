-- Environments, signing keys, uses of them, and the record. Times are seconds since 1970-01-01T00:00:00Z.

CREATE TABLE server (
    one              BIGINT PRIMARY KEY CHECK (one = 1),
    server_id        UUID NOT NULL,
    registry_version BIGINT NOT NULL,
    created          BIGINT NOT NULL,
    clock_doubt         BIGINT,   -- when a jump of a clock was found that nobody has confirmed since; NULL: none
    clock_doubt_seconds BIGINT,   -- by how much it went ahead, or back if negative
    clock_doubt_node    UUID,
    clock_confirmations BIGINT NOT NULL DEFAULT 0,
    -- Grow with each change of rules, and of templates.
    rules_version     BIGINT NOT NULL DEFAULT 0,
    templates_version BIGINT NOT NULL DEFAULT 0,
    -- Grows with each change of an approval.
    approvals_version BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE environment (
    id      UUID PRIMARY KEY,
    name    TEXT COLLATE "C" NOT NULL UNIQUE,
    kind    TEXT NOT NULL CHECK (kind IN ('sealed', 'pkcs11')),
    created BIGINT NOT NULL,
    -- Sealed stores: the id of the master key that components are stored under. NULL before a signer has named it.
    master_key BYTEA CHECK (length(master_key) = 8),
    -- The one before, while components may be stored under it.
    earlier_master_key BYTEA CHECK (length(earlier_master_key) = 8)
);

-- How the attempts to log in to a token with the PIN that is configured for it stand, over all servers. A row exists from
-- the first attempt on; an attempt that nobody concluded is as good as refused.
CREATE TABLE pin_attempt (
    environment_id UUID PRIMARY KEY REFERENCES environment (id),
    state          TEXT NOT NULL CHECK (state IN ('trying', 'good', 'refused')),
    node_id        UUID NOT NULL,
    at             BIGINT NOT NULL
);

-- Component keys that are being made, before their key is stored. What is left here when nobody makes them any more may lie on
-- a token and is removed from there.
CREATE TABLE component_attempt (
    component_id   UUID PRIMARY KEY,
    key_id         UUID NOT NULL,
    key_name       TEXT NOT NULL,
    project_id     UUID NOT NULL REFERENCES project (id),
    environment_id UUID NOT NULL REFERENCES environment (id),
    role           TEXT NOT NULL,
    request_id     UUID NOT NULL,
    node_id        UUID NOT NULL,
    failed         BOOLEAN NOT NULL
);

CREATE TABLE signing_key (
    id             UUID PRIMARY KEY,
    project_id     UUID NOT NULL REFERENCES project (id),
    environment_id UUID NOT NULL REFERENCES environment (id),
    name           TEXT COLLATE "C" NOT NULL,
    algorithm      TEXT NOT NULL,
    user_id        TEXT NOT NULL,
    fingerprint    BYTEA NOT NULL UNIQUE CHECK (length(fingerprint) = 20),
    -- 40 bits: the manufacturer's low byte and the four bytes of the card's serial number.
    serial         BIGINT NOT NULL UNIQUE CHECK (serial BETWEEN 0 AND 1095216660479),
    certificate    TEXT NOT NULL,
    disabled       BOOLEAN NOT NULL DEFAULT FALSE,
    created        BIGINT NOT NULL,
    -- Then disabled too, and for good.
    destroyed      BIGINT,
    -- Then disabled too, and for good.
    revoked        BIGINT,
    -- What its certificate says then.
    revocation_reason  TEXT CHECK (revocation_reason IN ('unspecified', 'compromised', 'superseded', 'retired')),
    revocation_message TEXT,
    UNIQUE (project_id, name)
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0];
END $$;

-- A card's serial number is never used again, so its row never goes.
CREATE TRIGGER signing_key_stays BEFORE DELETE OR TRUNCATE ON signing_key
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('signing keys are never deleted');

-- Apart from signing_key, whose certificates everyone may see.
CREATE TABLE key_revocation (
    key_id      UUID PRIMARY KEY REFERENCES signing_key (id),
    certificate TEXT NOT NULL
);

-- Apart from signing_key, whose rows are long: this one is rewritten with each signature.
CREATE TABLE card_counter (
    key_id     UUID PRIMARY KEY REFERENCES signing_key (id),
    signatures BIGINT NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE component_key (
    id              UUID PRIMARY KEY,
    key_id          UUID NOT NULL REFERENCES signing_key (id),
    role            TEXT COLLATE "C" NOT NULL CHECK (role IN ('certify', 'sign', 'decrypt', 'authenticate')),
    algorithm       TEXT NOT NULL,
    -- RSA: the modulus. Elliptic curves: the point.
    public_key      BYTEA NOT NULL,
    -- RSA only.
    public_exponent BYTEA,
    -- How the signer comes to the private half.
    handle          BYTEA NOT NULL,
    fingerprint     BYTEA NOT NULL UNIQUE CHECK (length(fingerprint) = 20),
    created         BIGINT NOT NULL,
    -- Its own end or its certificate's, whichever is earlier.
    expires         BIGINT,
    -- Alone: its key has a time of its own for that.
    revoked         BOOLEAN NOT NULL DEFAULT FALSE,
    UNIQUE (key_id, role)
);

-- Rules of an environment, project or key: the version with the largest number is in force. No references: a version tells
-- who wrote it and what it belonged to, whatever became of them.
CREATE TABLE rule_version (
    scope     TEXT COLLATE "C" NOT NULL CHECK (scope IN ('environment', 'project', 'key')),
    subject   UUID NOT NULL,
    version   BIGINT NOT NULL CHECK (version > 0),
    text      TEXT,                 -- NULL: the rules were removed
    author_id UUID NOT NULL,
    author    TEXT COLLATE "C" NOT NULL,
    applied   BIGINT NOT NULL,
    note      TEXT NOT NULL,
    PRIMARY KEY (scope, subject, version)
);

CREATE TRIGGER rules_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rule_version
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('versions of rules are append-only');

-- The rules in force.
CREATE VIEW rule_current AS
    SELECT scope, subject, version, text, author_id, author, applied, note FROM rule_version v
    WHERE text IS NOT NULL AND version = (SELECT max(n.version) FROM rule_version n
        WHERE n.scope = v.scope AND n.subject = v.subject);

-- Templates that rules link to, as rule_version.
CREATE TABLE template_version (
    name      TEXT COLLATE "C" NOT NULL,
    version   BIGINT NOT NULL CHECK (version > 0),
    change    BIGINT NOT NULL UNIQUE,    -- server.templates_version from this version on
    text      TEXT NOT NULL,
    withdrawn BOOLEAN NOT NULL,
    author_id UUID NOT NULL,
    author    TEXT COLLATE "C" NOT NULL,
    applied   BIGINT NOT NULL,
    note      TEXT NOT NULL,
    PRIMARY KEY (name, version)
);

CREATE TRIGGER templates_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON template_version
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('versions of templates are append-only');

-- What the rules in force name, so that it is neither renamed nor removed: the name of a key is PROJECT/NAME.
CREATE TABLE rule_mention (
    scope   TEXT COLLATE "C" NOT NULL CHECK (scope IN ('environment', 'project', 'key')),
    subject UUID NOT NULL,
    kind    TEXT COLLATE "C" NOT NULL,
    name    TEXT COLLATE "C" NOT NULL,
    rule    TEXT COLLATE "C" NOT NULL,   -- the first rule that names it; empty if it is outside of one
    PRIMARY KEY (scope, subject, kind, name)
);

CREATE INDEX rule_mention_name ON rule_mention (kind, name);

-- The same for templates that are not withdrawn.
CREATE TABLE template_mention (
    template TEXT COLLATE "C" NOT NULL,
    kind     TEXT COLLATE "C" NOT NULL,
    name     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (template, kind, name)
);

CREATE INDEX template_mention_name ON template_mention (kind, name);

-- What a token said of a key after it was made or adopted there, as JSON.
CREATE TABLE key_evidence (
    component_id UUID PRIMARY KEY REFERENCES component_key (id),
    evidence     TEXT NOT NULL,
    read         BIGINT NOT NULL
);

-- One row for each idempotency key. No references: what a row tells stays true when its principal or grant has gone.
CREATE TABLE key_request (
    id              UUID PRIMARY KEY,
    principal_id    UUID NOT NULL,
    idempotency_key UUID NOT NULL,
    grant_id        UUID NOT NULL,
    key_id          UUID NOT NULL,
    component_id    UUID,
    operation       TEXT NOT NULL,
    input_sha256    BYTEA NOT NULL CHECK (length(input_sha256) = 32),
    state           TEXT NOT NULL CHECK (state IN ('received', 'denied', 'waiting', 'approved', 'signing',
                        'signed', 'failed', 'unknown', 'rejected', 'expired', 'cancelled')),
    -- The signature. Never a decrypted text.
    signature       BYTEA CHECK (signature IS NULL OR operation <> 'decrypt'),
    project_id      UUID,
    -- The running server that works, or worked, on it.
    node_id         UUID NOT NULL,
    -- The approval that it waits for, or was allowed by, and until when it waits.
    approval_id     UUID,
    deadline        BIGINT,
    UNIQUE (principal_id, idempotency_key)
);

CREATE INDEX key_request_unfinished ON key_request (id) WHERE state = 'signing';

-- What people are to look at.
CREATE INDEX key_request_open ON key_request (state) WHERE state IN ('waiting', 'unknown');

CREATE INDEX key_request_waiting ON key_request (project_id, principal_id) WHERE state = 'waiting';

-- What people are asked to approve, and what they have approved. No references: who asked and what for may go.
CREATE TABLE approval (
    id           UUID PRIMARY KEY,
    kind         TEXT NOT NULL CHECK (kind IN ('use', 'pre-approval', 'break-glass', 'change')),
    state        TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'rejected', 'expired', 'cancelled', 'revoked',
                     'spent')),
    version      BIGINT NOT NULL,     -- what a decision names
    change       BIGINT NOT NULL,     -- server.approvals_version since it is so
    created      BIGINT NOT NULL,
    expires      BIGINT NOT NULL,
    use_seconds  BIGINT NOT NULL,     -- for how long it can be used once approved
    asked_by     UUID NOT NULL,
    project_id   UUID,
    key_id       UUID,
    operation    TEXT COLLATE "C",
    request_id   UUID,              -- the request that waits for it
    requester_id UUID,              -- who may use it: a principal, or the members of a group
    group_id     UUID,
    host         TEXT COLLATE "C",
    max_uses     BIGINT,              -- NULL: as many as they like
    used         BIGINT NOT NULL,
    not_before   BIGINT,
    reviewed     BIGINT,              -- break-glass: when its review was closed
    revoked_by   UUID,              -- who took it back
    reminded     BIGINT,              -- when those who have not decided were reminded
    body         TEXT NOT NULL,       -- the rest, as JSON
    CHECK (requester_id IS NULL OR group_id IS NULL)
);

CREATE INDEX approval_open ON approval (key_id, operation) WHERE state IN ('pending', 'approved');
CREATE INDEX approval_change ON approval (change);

-- What people decided. One of each person for each flow.
CREATE TABLE approval_decision (
    approval_id UUID NOT NULL REFERENCES approval (id) ON DELETE CASCADE,
    flow        TEXT COLLATE "C" NOT NULL,
    approver_id UUID NOT NULL,
    stage       TEXT COLLATE "C" NOT NULL,     -- a group's name, or role: and a role's
    verdict     TEXT NOT NULL CHECK (verdict IN ('approve', 'reject')),
    comment     TEXT,
    at          BIGINT NOT NULL,
    PRIMARY KEY (approval_id, flow, approver_id)
);

-- How much of each quota is used in a window. No references: rules, principals and keys may go.
CREATE TABLE quota_use (
    owner_id   UUID NOT NULL,     -- what has the rules that the quota is in
    quota      TEXT COLLATE "C" NOT NULL,
    subject_id UUID NOT NULL,     -- what is counted
    start      BIGINT NOT NULL,
    ends       BIGINT NOT NULL,
    used       BIGINT NOT NULL,
    PRIMARY KEY (owner_id, quota, subject_id, start)
);

CREATE INDEX quota_use_ends ON quota_use (ends);

-- What people are told by mail and in channels: written in the transaction of what it tells of, sent later. No references
-- to what it is about.
CREATE TABLE notice (
    id         UUID PRIMARY KEY,
    kind       TEXT NOT NULL,
    created    BIGINT NOT NULL,
    project_id UUID,
    project    TEXT,
    title      TEXT NOT NULL,
    facts      TEXT NOT NULL,     -- JSON: an array of labels and values
    command    TEXT,
    thread     UUID,
    recipients TEXT NOT NULL,     -- JSON: an array of the ids of principals
    loud       BOOLEAN NOT NULL DEFAULT FALSE,
    channel    TEXT,              -- the only one that it is for; NULL: all that want it
    addressed  BOOLEAN NOT NULL DEFAULT FALSE  -- whether it has its deliveries
);

CREATE INDEX notice_new ON notice (id) WHERE NOT addressed;

CREATE TABLE notice_delivery (
    id           UUID PRIMARY KEY,
    notice_id    UUID NOT NULL REFERENCES notice (id) ON DELETE CASCADE,
    channel      TEXT COLLATE "C" NOT NULL,
    principal_id UUID,             -- whom a mail is for
    state        TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed', 'dropped')),
    message_id   UUID NOT NULL,    -- deliveries with the same one are sent as one message
    held         BOOLEAN NOT NULL DEFAULT FALSE,  -- until it is sent with others in one mail
    attempts     BIGINT NOT NULL DEFAULT 0,
    next_attempt BIGINT NOT NULL,
    leased_until BIGINT,             -- a node has it in work
    node_id      UUID,             -- that node
    finished     BIGINT,
    error        TEXT
);

CREATE INDEX notice_delivery_notice ON notice_delivery (notice_id);
CREATE INDEX notice_delivery_pending ON notice_delivery (channel, next_attempt) WHERE state = 'pending';
CREATE INDEX notice_delivery_message ON notice_delivery (message_id) WHERE state = 'pending';
CREATE INDEX notice_delivery_failed ON notice_delivery (finished) WHERE state = 'failed';
CREATE INDEX notice_delivery_sent ON notice_delivery (principal_id, finished) WHERE state = 'delivered';

-- How a channel that was used works.
CREATE TABLE notice_channel (
    name           TEXT COLLATE "C" PRIMARY KEY,
    last_success   BIGINT,
    last_failure   BIGINT,
    last_error     TEXT,
    failures       BIGINT NOT NULL DEFAULT 0,    -- since the last success
    disabled_since BIGINT
);

-- How far the record has left the server by a sink: entries up to `position` are with the receiver, parked or skipped.
CREATE TABLE sink (
    name         TEXT COLLATE "C" PRIMARY KEY,
    position     BIGINT NOT NULL CHECK (position >= 0),
    node_id      UUID,             -- the node that delivers
    leased_until BIGINT,
    last_success BIGINT,
    last_failure BIGINT,
    last_error   TEXT,
    failures     BIGINT NOT NULL DEFAULT 0,    -- since the last success
    next_attempt BIGINT NOT NULL DEFAULT 0,
    stopped      BOOLEAN NOT NULL DEFAULT FALSE  -- the receiver wants no more, until an administrator acts
);

-- Entries that a receiver refused for what they are.
CREATE TABLE sink_parked (
    sink     TEXT COLLATE "C" NOT NULL REFERENCES sink (name) ON DELETE CASCADE,
    sequence BIGINT NOT NULL,
    parked   BIGINT NOT NULL,
    error    TEXT NOT NULL,
    retry    BOOLEAN NOT NULL DEFAULT FALSE,  -- an administrator wants it tried again
    PRIMARY KEY (sink, sequence)
);

CREATE TABLE record (
    sequence     BIGINT PRIMARY KEY,
    time         BIGINT NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('intent', 'outcome', 'denied', 'approval', 'authentication', 'administration')),
    event        TEXT NOT NULL,
    request_id   UUID NOT NULL,
    -- The actor, or the principal that the entry is about if nobody was authenticated.
    principal_id UUID,
    project_id   UUID,
    key_id       UUID,
    state        TEXT,
    signature_sha256 BYTEA CHECK (length(signature_sha256) = 32),
    -- The exact bytes that the leaf commits to, and the salt of the commitment.
    body         TEXT NOT NULL,
    salt         BYTEA NOT NULL CHECK (length(salt) = 16),
    -- The hash of the leaf.
    hash         BYTEA NOT NULL CHECK (length(hash) = 32)
);

CREATE INDEX record_of_request ON record (request_id);
CREATE INDEX record_of_principal ON record (principal_id, sequence) WHERE principal_id IS NOT NULL;
CREATE INDEX record_of_signature ON record (signature_sha256) WHERE signature_sha256 IS NOT NULL;
CREATE INDEX record_of_project ON record (project_id, sequence) WHERE project_id IS NOT NULL;
CREATE INDEX record_of_key ON record (key_id, sequence) WHERE key_id IS NOT NULL;

CREATE TRIGGER record_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON record
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('the record is append-only');

-- Roots of complete subtrees of the log: level 1 has those of 256 leaves, level 2 those of 256 of level 1, and so on.
CREATE TABLE record_subtree (
    level  BIGINT NOT NULL CHECK (level BETWEEN 1 AND 7),
    number BIGINT NOT NULL CHECK (number >= 0),
    hash   BYTEA NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, number)
);

CREATE TRIGGER record_subtree_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON record_subtree
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('the record is append-only');

-- Keys that sign the log's checkpoints: one for each name that the log had.
CREATE TABLE log_key (
    component_id   UUID NOT NULL PRIMARY KEY,
    environment_id UUID NOT NULL REFERENCES environment (id),
    origin         TEXT NOT NULL UNIQUE,
    ed25519        BYTEA NOT NULL CHECK (length(ed25519) = 32),
    ml_dsa_44      BYTEA NOT NULL CHECK (length(ml_dsa_44) = 1312),
    handle         BYTEA NOT NULL,
    created        BIGINT NOT NULL
);

-- The newest checkpoint of each, with the cosignatures that it has so far. Older ones can be made anew by nobody, and are
-- needed by nobody: each newer one covers them.
CREATE TABLE log_checkpoint (
    origin TEXT NOT NULL PRIMARY KEY REFERENCES log_key (origin),
    size   BIGINT NOT NULL,
    note   TEXT NOT NULL,
    time   BIGINT NOT NULL
);

-- The checkpoint of each that is given out: the newest one that enough witnesses have cosigned, or the newest one if none
-- are configured.
CREATE TABLE log_published (
    origin TEXT NOT NULL PRIMARY KEY REFERENCES log_key (origin),
    size   BIGINT NOT NULL,
    note   TEXT NOT NULL,
    time   BIGINT NOT NULL
);

-- How witnesses of each are, by the name of their keys.
CREATE TABLE log_witness (
    origin       TEXT NOT NULL REFERENCES log_key (origin),
    name         TEXT COLLATE "C" NOT NULL,
    size         BIGINT NOT NULL DEFAULT 0 CHECK (size >= 0),  -- of the newest checkpoint that it has cosigned
    node_id      UUID,                                      -- the node that asks it
    leased_until BIGINT,
    last_success BIGINT,
    last_failure BIGINT,
    last_error   TEXT,
    failures     BIGINT NOT NULL DEFAULT 0,                    -- since the last success
    next_attempt BIGINT NOT NULL DEFAULT 0,
    forked       BOOLEAN NOT NULL DEFAULT FALSE,  -- it knows another log under this name
    PRIMARY KEY (origin, name)
);

-- The right edge of the log: its size in 8 bytes, then the roots of its complete subtrees from the left. Whoever writes holds
-- this row, so that the log never forks, and changes it: whoever finds it as it was knows that nothing was written since.
CREATE TABLE record_head (
    one      BIGINT PRIMARY KEY CHECK (one = 1),
    log      BYTEA NOT NULL,
    -- Transactions that have changed anything else than uses: whether what a use was judged by may have changed.
    changes  BIGINT NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
INSERT INTO record_head (one, log) VALUES (1, decode('0000000000000000', 'hex'));
