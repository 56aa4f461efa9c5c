-- The foundation: gateways and their identities, forwards and their placements, revisions, status, audit.
-- btree_gist lets one exclusion constraint compare a uuid, a text, an inet and a range.
CREATE EXTENSION IF NOT EXISTS btree_gist;

-- One row: what this database is.
CREATE TABLE installation (
  id                smallint       NOT NULL DEFAULT 1 CHECK (id = 1),
  uid               uuid           NOT NULL,
  -- Revisions mean something within one epoch only; a restored backup gets a new one.
  epoch             uuid           NOT NULL,
  -- System identifier, timeline and database oid at the time the epoch was made: a restore changes at least one.
  database_identity text           NOT NULL,
  -- SHA-256 of the CA certificate, so that a lost or exchanged CA is noticed before an agent sees it.
  ca_fingerprint    text           NOT NULL,
  create_time       timestamptz(3) NOT NULL DEFAULT now(),
  CONSTRAINT installation_pkey PRIMARY KEY (id)
);

-- Only hashes: a dump of this table opens nothing.
CREATE TABLE operator_tokens (
  uid         uuid           NOT NULL,
  name        text           NOT NULL,
  hash        bytea          NOT NULL,
  role        text           NOT NULL CHECK (role = 'admin'),
  create_time timestamptz(3) NOT NULL DEFAULT now(),
  expire_time timestamptz(3),
  revoke_time timestamptz(3),
  CONSTRAINT operator_tokens_pkey PRIMARY KEY (uid),
  CONSTRAINT operator_tokens_name_key UNIQUE (name),
  CONSTRAINT operator_tokens_hash_key UNIQUE (hash)
);

CREATE TABLE gateways (
  uid         uuid           NOT NULL,
  name        text           NOT NULL,
  labels      jsonb          NOT NULL DEFAULT '{}',
  cordoned    boolean        NOT NULL DEFAULT false,
  version     bigint         NOT NULL DEFAULT 1,
  create_time timestamptz(3) NOT NULL DEFAULT now(),
  update_time timestamptz(3) NOT NULL DEFAULT now(),
  CONSTRAINT gateways_pkey PRIMARY KEY (uid),
  CONSTRAINT gateways_name_key UNIQUE (name)
);

-- The counter row of each gateway: whoever changes its desired state locks it first, so revisions are issued in commit order.
CREATE TABLE desired_states (
  gateway_uid uuid   NOT NULL,
  epoch       uuid   NOT NULL,
  revision    bigint NOT NULL DEFAULT 0,
  -- XOR of the hashes of all placements, 32 bytes.
  digest      bytea  NOT NULL,
  forwards    integer NOT NULL DEFAULT 0,
  CONSTRAINT desired_states_forwards_check CHECK (forwards BETWEEN 0 AND 50000),
  CONSTRAINT desired_states_pkey PRIMARY KEY (gateway_uid),
  CONSTRAINT desired_states_gateway_uid_fkey FOREIGN KEY (gateway_uid) REFERENCES gateways (uid) ON DELETE CASCADE
);

-- The agent's keys: the active one, and a renewed one that becomes active when it is first used.
CREATE TABLE identities (
  gateway_uid    uuid           NOT NULL,
  active_serial  text           NOT NULL,
  active_spki    bytea          NOT NULL,
  pending_serial text,
  pending_spki   bytea,
  enrol_time     timestamptz(3) NOT NULL DEFAULT now(),
  CONSTRAINT identities_pkey PRIMARY KEY (gateway_uid),
  CONSTRAINT identities_gateway_uid_fkey FOREIGN KEY (gateway_uid) REFERENCES gateways (uid) ON DELETE CASCADE
);

CREATE TABLE join_tokens (
  hash        bytea          NOT NULL,
  gateway_uid uuid           NOT NULL,
  source_cidr cidr,
  create_time timestamptz(3) NOT NULL DEFAULT now(),
  expire_time timestamptz(3) NOT NULL,
  use_time    timestamptz(3),
  CONSTRAINT join_tokens_pkey PRIMARY KEY (hash),
  CONSTRAINT join_tokens_gateway_uid_fkey FOREIGN KEY (gateway_uid) REFERENCES gateways (uid) ON DELETE CASCADE
);
CREATE INDEX join_tokens_gateway_uid_idx ON join_tokens (gateway_uid);

CREATE TABLE forwards (
  uid         uuid           NOT NULL,
  name        text           NOT NULL,
  labels      jsonb          NOT NULL DEFAULT '{}',
  -- gwctl.v1.ForwardSpec as protobuf JSON, canonical.
  spec        jsonb          NOT NULL,
  owner       text           NOT NULL DEFAULT '',
  generation  bigint         NOT NULL DEFAULT 1,
  version     bigint         NOT NULL DEFAULT 1,
  create_time timestamptz(3) NOT NULL DEFAULT now(),
  update_time timestamptz(3) NOT NULL DEFAULT now(),
  CONSTRAINT forwards_pkey PRIMARY KEY (uid),
  CONSTRAINT forwards_name_key UNIQUE (name)
);
CREATE INDEX forwards_labels_idx ON forwards USING gin (labels jsonb_path_ops);

CREATE TABLE placements (
  gateway_uid uuid   NOT NULL,
  forward_uid uuid   NOT NULL,
  generation  bigint NOT NULL,
  -- An encoded gwctl.agent.v1.DesiredForward, exactly as it travels.
  desired     bytea  NOT NULL,
  hash        bytea  NOT NULL,
  -- The gateway's revision that first carried this generation.
  revision    bigint NOT NULL,
  CONSTRAINT placements_pkey PRIMARY KEY (gateway_uid, forward_uid),
  CONSTRAINT placements_gateway_uid_fkey FOREIGN KEY (gateway_uid) REFERENCES gateways (uid) ON DELETE RESTRICT,
  CONSTRAINT placements_forward_uid_fkey FOREIGN KEY (forward_uid) REFERENCES forwards (uid) ON DELETE CASCADE
);
CREATE INDEX placements_forward_uid_idx ON placements (forward_uid);

-- What a placement claims of its gateway: one row per transport and address family. The wildcard address is the whole family
-- (0.0.0.0/0 or ::/0), so "overlaps" is "conflicts". Protocol all claims every port of both transports.
CREATE TABLE listeners (
  gateway_uid uuid      NOT NULL,
  forward_uid uuid      NOT NULL,
  transport   text      NOT NULL CHECK (transport IN ('tcp', 'udp')),
  family      smallint  NOT NULL CHECK (family IN (4, 6)),
  address     inet      NOT NULL CHECK (family(address) = family),
  ports       int4range NOT NULL CHECK (NOT isempty(ports)),
  CONSTRAINT listeners_pkey PRIMARY KEY (gateway_uid, forward_uid, transport, family),
  CONSTRAINT listeners_placement_fkey FOREIGN KEY (gateway_uid, forward_uid)
    REFERENCES placements (gateway_uid, forward_uid) ON DELETE CASCADE,
  CONSTRAINT listeners_one_forward EXCLUDE USING gist
    (gateway_uid WITH =, transport WITH =, address inet_ops WITH &&, ports WITH &&)
);

-- What turned one revision into the next. Written by the transaction that raised the revision, kept for a bounded time.
CREATE TABLE changes (
  gateway_uid uuid           NOT NULL,
  revision    bigint         NOT NULL,
  forward_uid uuid           NOT NULL,
  -- NULL: the forward is gone from this gateway.
  desired     bytea,
  -- Digest of the gateway's whole desired state after this revision.
  digest      bytea          NOT NULL,
  create_time timestamptz(3) NOT NULL DEFAULT now(),
  CONSTRAINT changes_pkey PRIMARY KEY (gateway_uid, revision, forward_uid),
  CONSTRAINT changes_gateway_uid_fkey FOREIGN KEY (gateway_uid) REFERENCES gateways (uid) ON DELETE CASCADE
);
CREATE INDEX changes_create_time_idx ON changes (create_time);

-- The live session of each gateway, whichever replica holds it. heartbeat_time is how others see that the replica lives.
CREATE TABLE sessions (
  gateway_uid    uuid           NOT NULL,
  session_uid    uuid           NOT NULL,
  replica_uid    uuid           NOT NULL,
  instance       text           NOT NULL,
  source         text           NOT NULL,
  connect_time   timestamptz(3) NOT NULL DEFAULT now(),
  heartbeat_time timestamptz(3) NOT NULL DEFAULT now(),
  -- Set when the agent has spoken about its placements in this session; until then nobody knows how they stand.
  reported       boolean        NOT NULL DEFAULT false,
  end_time       timestamptz(3),
  CONSTRAINT sessions_pkey PRIMARY KEY (gateway_uid),
  CONSTRAINT sessions_gateway_uid_fkey FOREIGN KEY (gateway_uid) REFERENCES gateways (uid) ON DELETE CASCADE
);

-- What the agent last said about the gateway as a whole.
CREATE TABLE gateway_reports (
  gateway_uid       uuid   NOT NULL,
  accepted_revision bigint NOT NULL DEFAULT 0,
  applied_revision  bigint NOT NULL DEFAULT 0,
  agent_version     text   NOT NULL DEFAULT '',
  hostname          text   NOT NULL DEFAULT '',
  kernel            text   NOT NULL DEFAULT '',
  driver            text   NOT NULL DEFAULT '',
  -- Arrays of gwctl.v1.Capability and gwctl.v1.Condition as protobuf JSON.
  capabilities      jsonb  NOT NULL DEFAULT '[]',
  conditions        jsonb  NOT NULL DEFAULT '[]',
  CONSTRAINT gateway_reports_pkey PRIMARY KEY (gateway_uid),
  CONSTRAINT gateway_reports_gateway_uid_fkey FOREIGN KEY (gateway_uid) REFERENCES gateways (uid) ON DELETE CASCADE
);

-- What the agent last said about one placement.
CREATE TABLE placement_reports (
  gateway_uid uuid           NOT NULL,
  forward_uid uuid           NOT NULL,
  generation  bigint         NOT NULL,
  state       text           NOT NULL CHECK (state IN ('PENDING', 'ACTIVE', 'DEGRADED', 'REJECTED', 'EXPIRED', 'DISABLED')),
  -- gwctl.agent.v1.PlacementReport as protobuf JSON.
  report      jsonb          NOT NULL,
  report_time timestamptz(3) NOT NULL DEFAULT now(),
  CONSTRAINT placement_reports_pkey PRIMARY KEY (gateway_uid, forward_uid),
  CONSTRAINT placement_reports_placement_fkey FOREIGN KEY (gateway_uid, forward_uid)
    REFERENCES placements (gateway_uid, forward_uid) ON DELETE CASCADE
);

CREATE TABLE events (
  uid          uuid           NOT NULL,
  time         timestamptz(3) NOT NULL DEFAULT now(),
  gateway      text           NOT NULL DEFAULT '',
  forward      text           NOT NULL DEFAULT '',
  reason       text           NOT NULL,
  message      text           NOT NULL,
  -- gwctl.v1.Drift as protobuf JSON.
  drift        jsonb,
  CONSTRAINT events_pkey PRIMARY KEY (uid)
);
CREATE INDEX events_time_uid_idx ON events (time, uid);

CREATE TABLE audit_entries (
  uid        uuid           NOT NULL,
  time       timestamptz(3) NOT NULL DEFAULT now(),
  actor      text           NOT NULL,
  source     text           NOT NULL,
  request_id text           NOT NULL,
  method     text           NOT NULL,
  resource   text           NOT NULL,
  before     jsonb,
  after      jsonb,
  -- "OK" or the code and reason of a refusal.
  result     text           NOT NULL,
  CONSTRAINT audit_entries_pkey PRIMARY KEY (uid)
);
CREATE INDEX audit_entries_time_idx ON audit_entries (time);

-- Answers to repeated creates: the same id within 24 h answers with what the first call made.
CREATE TABLE request_ids (
  actor        text           NOT NULL,
  method       text           NOT NULL,
  request_id   text           NOT NULL,
  -- SHA-256 of the request, so that an id that is used for something else is refused.
  request_hash bytea          NOT NULL,
  resource_uid uuid           NOT NULL,
  create_time  timestamptz(3) NOT NULL DEFAULT now(),
  CONSTRAINT request_ids_pkey PRIMARY KEY (actor, method, request_id)
);
CREATE INDEX request_ids_create_time_idx ON request_ids (create_time);

-- The trail only grows, whoever writes to it with the application's own rights.
CREATE FUNCTION audit_entries_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'audit_entries is append-only';
END;
$$;
CREATE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE ON audit_entries
  FOR EACH ROW EXECUTE FUNCTION audit_entries_append_only();
CREATE TRIGGER audit_entries_no_truncate BEFORE TRUNCATE ON audit_entries
  FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_append_only();

-- A session counts as live while its replica's heartbeat (every 5 s) is at most 15 s old.
CREATE VIEW live_sessions AS
  SELECT * FROM sessions WHERE end_time IS NULL AND heartbeat_time > now() - interval '15 seconds';

-- How each placement stands: the agent's word where there is one that counts. UNKNOWN where the observer is gone or has not yet
-- spoken in its present session; PENDING where it spoke of an older generation, or of none.
CREATE VIEW placement_states AS
  SELECT p.gateway_uid, p.forward_uid, g.name AS gateway, p.generation, p.revision,
         s.session_uid IS NOT NULL AS connected,
         r.generation AS observed_generation, r.report, r.report_time,
         CASE
           WHEN s.session_uid IS NULL OR NOT s.reported THEN 'UNKNOWN'
           WHEN r.generation IS NULL OR r.generation < p.generation THEN 'PENDING'
           ELSE r.state
         END AS state
    FROM placements p
    JOIN gateways g ON g.uid = p.gateway_uid
    LEFT JOIN live_sessions s ON s.gateway_uid = p.gateway_uid
    LEFT JOIN placement_reports r ON r.gateway_uid = p.gateway_uid AND r.forward_uid = p.forward_uid;
