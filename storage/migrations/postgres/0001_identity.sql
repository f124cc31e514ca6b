-- Who may ask: users, service accounts, groups, projects, and what they hold. Times are seconds since
-- 1970-01-01T00:00:00Z. A removed principal's row stays, because the record names it by id. Texts are compared byte by byte.

CREATE TABLE principal (
    id            UUID PRIMARY KEY,
    kind          TEXT NOT NULL CHECK (kind IN ('user', 'service-account')),
    name          TEXT COLLATE "C" NOT NULL,
    password      TEXT,               -- PHC string of argon2id; only users have one
    one_time_until BIGINT,           -- the password is for one login, and refused from this moment on; NULL: the user's own
    email         TEXT,               -- where notices go; only users have one
    -- The system roles of a user.
    administrator    BOOLEAN NOT NULL DEFAULT FALSE,
    security_officer BOOLEAN NOT NULL DEFAULT FALSE,
    auditor          BOOLEAN NOT NULL DEFAULT FALSE,
    disabled      BOOLEAN NOT NULL DEFAULT FALSE,
    owner_id      UUID REFERENCES principal (id), -- the user who answers for a service account, while there is one
    created       BIGINT NOT NULL,
    removed       BIGINT,
    CHECK ((kind = 'user') = (password IS NOT NULL) OR removed IS NOT NULL),
    CHECK (kind = 'user' OR NOT (administrator OR security_officer OR auditor)),
    CHECK (kind = 'user' OR email IS NULL),
    CHECK (kind = 'service-account' OR owner_id IS NULL)
);

-- The name of a removed principal may be given again.
CREATE UNIQUE INDEX principal_name ON principal (name) WHERE removed IS NULL;

CREATE INDEX principal_owner ON principal (owner_id) WHERE owner_id IS NOT NULL;

CREATE TABLE principal_group (
    id      UUID PRIMARY KEY,
    name    TEXT COLLATE "C" NOT NULL UNIQUE,
    created BIGINT NOT NULL
);

CREATE TABLE group_member (
    group_id     UUID NOT NULL REFERENCES principal_group (id) ON DELETE CASCADE,
    principal_id UUID NOT NULL REFERENCES principal (id),
    PRIMARY KEY (group_id, principal_id)
);

CREATE INDEX group_member_principal ON group_member (principal_id);

CREATE TABLE project (
    id          UUID PRIMARY KEY,
    name        TEXT COLLATE "C" NOT NULL,
    description TEXT NOT NULL,
    -- A key user may have no other role.
    strict_separation BOOLEAN NOT NULL DEFAULT FALSE,
    created     BIGINT NOT NULL,
    removed     BIGINT
);

-- The name of a removed project may be given again.
CREATE UNIQUE INDEX project_name ON project (name) WHERE removed IS NULL;

CREATE TABLE project_principal (
    project_id   UUID NOT NULL REFERENCES project (id),
    principal_id UUID NOT NULL REFERENCES principal (id),
    role         TEXT COLLATE "C" NOT NULL CHECK (role IN ('owner', 'key-user', 'approver', 'auditor')),
    PRIMARY KEY (project_id, principal_id, role)
);

CREATE INDEX project_principal_principal ON project_principal (principal_id);

CREATE TABLE project_group (
    project_id UUID NOT NULL REFERENCES project (id),
    group_id   UUID NOT NULL REFERENCES principal_group (id) ON DELETE CASCADE,
    role       TEXT COLLATE "C" NOT NULL CHECK (role IN ('owner', 'key-user', 'approver', 'auditor')),
    PRIMARY KEY (project_id, group_id, role)
);

CREATE INDEX project_group_group ON project_group (group_id);

CREATE TABLE service_token (
    id           UUID PRIMARY KEY,
    principal_id UUID NOT NULL REFERENCES principal (id),
    label        TEXT NOT NULL,
    hash         BYTEA NOT NULL UNIQUE,   -- SHA-256 of the secret
    created      BIGINT NOT NULL,
    expires      BIGINT NOT NULL,
    revoked      BIGINT
);

CREATE INDEX service_token_principal ON service_token (principal_id);

CREATE TABLE access_grant (
    id                UUID PRIMARY KEY,
    principal_id      UUID NOT NULL REFERENCES principal (id),
    service_token_id  UUID REFERENCES service_token (id),
    label             TEXT NOT NULL,
    created           BIGINT NOT NULL,
    expires           BIGINT NOT NULL,
    refreshable_until BIGINT NOT NULL,
    revoked           BIGINT,
    -- About when and from which address it was used last.
    last_used         BIGINT,
    last_address      TEXT,
    login_address     TEXT
);

CREATE INDEX access_grant_principal ON access_grant (principal_id);

-- A refresh adds a token and retires the one it was asked with, so two processes that refresh at once each get one that
-- lasts.
CREATE TABLE grant_token (
    hash     BYTEA PRIMARY KEY,  -- SHA-256 of the secret
    grant_id UUID NOT NULL REFERENCES access_grant (id) ON DELETE CASCADE,
    created  BIGINT NOT NULL,
    retired  BIGINT              -- from this moment on it is refused
);

CREATE INDEX grant_token_grant ON grant_token (grant_id);
