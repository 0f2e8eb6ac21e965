"""All tables as the first release had them. `local` is the user behind the one token of an embedded
stack.
"""

from alembic import op

revision = "0013"
down_revision = None

_SHARE = """
    weight double precision NOT NULL DEFAULT '1',
    max_running integer,
    max_queued integer,
    cpu_hours double precision,
    quota_bytes bigint"""
_PEOPLE = f"""
CREATE TABLE organisations (
    id text PRIMARY KEY,
    name text NOT NULL,{_SHARE},
    created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE users (
    id text PRIMARY KEY,
    issuer text NOT NULL,
    subject text NOT NULL,
    name text NOT NULL DEFAULT '',
    email text NOT NULL DEFAULT '',
    organisation text REFERENCES organisations,
    role text NOT NULL DEFAULT 'user'
        CONSTRAINT users_users_role CHECK (role IN ('user', 'manager', 'admin')),
    disabled boolean NOT NULL DEFAULT false,{_SHARE},
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (issuer, subject));
CREATE INDEX users_organisation ON users (organisation);
CREATE TABLE api_tokens (
    id uuid PRIMARY KEY,
    owner text NOT NULL REFERENCES users ON DELETE CASCADE,
    name text NOT NULL,
    digest bytea NOT NULL UNIQUE,
    scopes text[] NOT NULL DEFAULT '{{}}',
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    used_at timestamptz,
    revoked_at timestamptz);
CREATE INDEX api_tokens_owner ON api_tokens (owner);
INSERT INTO users (id, issuer, subject, role) VALUES ('local', '', 'local', 'admin');
CREATE TABLE usage (
    owner text,
    month date,
    cpu_s double precision NOT NULL,
    tasks bigint NOT NULL,
    PRIMARY KEY (owner, month));
CREATE TABLE counts (
    owner text,
    month date,
    state text,
    tasks bigint NOT NULL,
    PRIMARY KEY (owner, month, state));
CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    who text NOT NULL,
    act text NOT NULL,
    what text NOT NULL,
    source text NOT NULL,
    request text NOT NULL);
CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_who ON audit (who, id)"""

_TASKS = """
CREATE TABLE workflows (
    id uuid PRIMARY KEY,
    owner text NOT NULL,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    idempotency_key text,
    UNIQUE (owner, idempotency_key));
CREATE INDEX workflows_of_owner ON workflows (owner, created_at DESC, id);
CREATE TABLE tasks (
    id uuid PRIMARY KEY,
    owner text NOT NULL,
    name text NOT NULL,
    state text NOT NULL CONSTRAINT tasks_tasks_state CHECK (state IN
        ('blocked', 'queued', 'running', 'completed', 'failed', 'cancelled')),
    priority smallint NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    losses integer NOT NULL DEFAULT 0,
    earlier jsonb NOT NULL DEFAULT '[]',
    worker text,
    lease_until timestamptz,
    cancel_requested boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    completed_at timestamptz,
    idempotency_key text,
    request_digest bytea NOT NULL,
    request json NOT NULL,
    digests text[] NOT NULL DEFAULT '{}',
    outcome json,
    log json,
    log_blob text NOT NULL DEFAULT '',
    short boolean NOT NULL DEFAULT false,
    python text NOT NULL DEFAULT '',
    cpu_s double precision NOT NULL DEFAULT '0',
    went_out boolean NOT NULL DEFAULT false,
    machine_class text NOT NULL DEFAULT 'pool',
    why_there text NOT NULL DEFAULT '',
    code_key bytea,
    estimate_s double precision,
    peak_bytes bigint,
    awaited boolean NOT NULL DEFAULT false,
    workflow uuid REFERENCES workflows ON DELETE SET NULL,
    UNIQUE (owner, idempotency_key));
CREATE INDEX tasks_queued ON tasks (priority DESC, created_at) WHERE state = 'queued';
CREATE INDEX tasks_queued_of_owner
    ON tasks (owner, short, python, priority DESC, created_at) WHERE state = 'queued';
CREATE INDEX tasks_running ON tasks (worker, lease_until) WHERE state = 'running';
CREATE INDEX tasks_of_owner ON tasks (owner, created_at DESC, id);
CREATE INDEX tasks_ended_of_owner
    ON tasks (owner, completed_at DESC) WHERE completed_at IS NOT NULL;
CREATE INDEX tasks_digests ON tasks USING gin (digests);
CREATE INDEX tasks_history ON tasks (owner, code_key, completed_at DESC)
    WHERE code_key IS NOT NULL AND completed_at IS NOT NULL;
CREATE INDEX tasks_blocked_of_owner ON tasks (owner) WHERE state = 'blocked';
CREATE INDEX tasks_of_workflow ON tasks (workflow, created_at) WHERE workflow IS NOT NULL;
CREATE TABLE task_inputs (
    child uuid REFERENCES tasks ON DELETE CASCADE,
    parent uuid REFERENCES tasks ON DELETE CASCADE,
    PRIMARY KEY (child, parent));
CREATE INDEX task_inputs_parent ON task_inputs (parent);
CREATE TABLE sweeps (
    owner text,
    name text,
    state text NOT NULL DEFAULT 'running'
        CONSTRAINT sweeps_sweeps_state CHECK (state IN ('running', 'paused', 'cancelled')),
    points text[] NOT NULL,
    about json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, name));
CREATE TABLE sweep_tasks (
    task uuid PRIMARY KEY REFERENCES tasks ON DELETE CASCADE,
    owner text NOT NULL,
    sweep text NOT NULL,
    points text[] NOT NULL);
CREATE INDEX sweep_tasks_of_sweep ON sweep_tasks (owner, sweep);
CREATE TABLE blobs (
    owner text,
    digest text,
    size bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, digest));
CREATE TABLE reservations (
    owner text,
    key text,
    size bigint NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (owner, key))"""

_MACHINES = """
CREATE TABLE workers (
    id text PRIMARY KEY,
    info json NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    packages json,
    draining boolean NOT NULL DEFAULT false);
CREATE TABLE machines (
    id text PRIMARY KEY,
    machine_class text NOT NULL,
    provider text NOT NULL,
    state text NOT NULL CONSTRAINT machines_machines_state CHECK (state IN
        ('wanted', 'booting', 'serving', 'draining', 'stopping', 'gone')),
    handle text NOT NULL DEFAULT '',
    worker text,
    why text NOT NULL DEFAULT '',
    price double precision NOT NULL DEFAULT '0',
    billing_s integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz);
CREATE INDEX machines_alive ON machines (created_at) WHERE state <> 'gone';
CREATE INDEX machines_ended ON machines (ended_at);
CREATE TABLE fleet (
    one smallint PRIMARY KEY,
    stack text NOT NULL,
    stopped boolean NOT NULL DEFAULT false,
    swept boolean NOT NULL DEFAULT false)"""


def upgrade() -> None:
    for tables in (_PEOPLE, _TASKS, _MACHINES):
        for statement in tables.split(";"):
            op.execute(statement)
