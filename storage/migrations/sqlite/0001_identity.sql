-- Who may ask: users, service accounts, groups, projects, and what they hold. Ids are the 16 bytes of a UUID, times are
-- seconds since 1970-01-01T00:00:00Z. A removed principal's row stays, because the record names it by id.

CREATE TABLE principal (
    id            BLOB NOT NULL PRIMARY KEY,
    kind          TEXT NOT NULL CHECK (kind IN ('user', 'service-account')),
    name          TEXT NOT NULL,
    password      TEXT,               -- PHC string of argon2id; only users have one
    one_time_until INTEGER,           -- the password is for one login, and refused from this moment on; NULL: the user's own
    email         TEXT,               -- where notices go; only users have one
    -- The system roles of a user.
    administrator    INTEGER NOT NULL DEFAULT 0,
    security_officer INTEGER NOT NULL DEFAULT 0,
    auditor          INTEGER NOT NULL DEFAULT 0,
    disabled      INTEGER NOT NULL DEFAULT 0,
    owner_id      BLOB REFERENCES principal (id), -- the user who answers for a service account, while there is one
    created       INTEGER NOT NULL,
    removed       INTEGER,
    CHECK ((kind = 'user') = (password IS NOT NULL) OR removed IS NOT NULL),
    CHECK (kind = 'user' OR administrator + security_officer + auditor = 0),
    CHECK (kind = 'user' OR email IS NULL),
    CHECK (kind = 'service-account' OR owner_id IS NULL)
) STRICT, WITHOUT ROWID;

-- The name of a removed principal may be given again.
CREATE UNIQUE INDEX principal_name ON principal (name) WHERE removed IS NULL;

CREATE INDEX principal_owner ON principal (owner_id) WHERE owner_id IS NOT NULL;

CREATE TABLE principal_group (
    id      BLOB NOT NULL PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE group_member (
    group_id     BLOB NOT NULL REFERENCES principal_group (id) ON DELETE CASCADE,
    principal_id BLOB NOT NULL REFERENCES principal (id),
    PRIMARY KEY (group_id, principal_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX group_member_principal ON group_member (principal_id);

CREATE TABLE project (
    id          BLOB NOT NULL PRIMARY KEY,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    -- A key user may have no other role.
    strict_separation INTEGER NOT NULL DEFAULT 0,
    created     INTEGER NOT NULL,
    removed     INTEGER
) STRICT, WITHOUT ROWID;

-- The name of a removed project may be given again.
CREATE UNIQUE INDEX project_name ON project (name) WHERE removed IS NULL;

CREATE TABLE project_principal (
    project_id   BLOB NOT NULL REFERENCES project (id),
    principal_id BLOB NOT NULL REFERENCES principal (id),
    role         TEXT NOT NULL CHECK (role IN ('owner', 'key-user', 'approver', 'auditor')),
    PRIMARY KEY (project_id, principal_id, role)
) STRICT, WITHOUT ROWID;

CREATE INDEX project_principal_principal ON project_principal (principal_id);

CREATE TABLE project_group (
    project_id BLOB NOT NULL REFERENCES project (id),
    group_id   BLOB NOT NULL REFERENCES principal_group (id) ON DELETE CASCADE,
    role       TEXT NOT NULL CHECK (role IN ('owner', 'key-user', 'approver', 'auditor')),
    PRIMARY KEY (project_id, group_id, role)
) STRICT, WITHOUT ROWID;

CREATE INDEX project_group_group ON project_group (group_id);

CREATE TABLE service_token (
    id           BLOB NOT NULL PRIMARY KEY,
    principal_id BLOB NOT NULL REFERENCES principal (id),
    label        TEXT NOT NULL,
    hash         BLOB NOT NULL UNIQUE,   -- SHA-256 of the secret
    created      INTEGER NOT NULL,
    expires      INTEGER NOT NULL,
    revoked      INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX service_token_principal ON service_token (principal_id);

CREATE TABLE access_grant (
    id                BLOB NOT NULL PRIMARY KEY,
    principal_id      BLOB NOT NULL REFERENCES principal (id),
    service_token_id  BLOB REFERENCES service_token (id),
    label             TEXT NOT NULL,
    created           INTEGER NOT NULL,
    expires           INTEGER NOT NULL,
    refreshable_until INTEGER NOT NULL,
    revoked           INTEGER,
    -- About when and from which address it was used last.
    last_used         INTEGER,
    last_address      TEXT,
    login_address     TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX access_grant_principal ON access_grant (principal_id);

-- A refresh adds a token and retires the one it was asked with, so two processes that refresh at once each get one that
-- lasts.
CREATE TABLE grant_token (
    hash     BLOB NOT NULL PRIMARY KEY,  -- SHA-256 of the secret
    grant_id BLOB NOT NULL REFERENCES access_grant (id) ON DELETE CASCADE,
    created  INTEGER NOT NULL,
    retired  INTEGER                     -- from this moment on it is refused
) STRICT, WITHOUT ROWID;

CREATE INDEX grant_token_grant ON grant_token (grant_id);
