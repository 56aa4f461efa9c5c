-- Egresses, and settings of gateways. What a gateway is told becomes entries of several kinds: forwards, egresses and its settings
-- share one table of placements, one change log, one digest and one count.
CREATE TABLE egresses (
  uid         uuid           NOT NULL,
  name        text           NOT NULL,
  labels      jsonb          NOT NULL DEFAULT '{}',
  -- gwctl.v1.EgressSpec as protobuf JSON, canonical.
  spec        jsonb          NOT NULL,
  generation  bigint         NOT NULL DEFAULT 1,
  version     bigint         NOT NULL DEFAULT 1,
  create_time timestamptz(3) NOT NULL DEFAULT now(),
  update_time timestamptz(3) NOT NULL DEFAULT now(),
  CONSTRAINT egresses_pkey PRIMARY KEY (uid),
  CONSTRAINT egresses_name_key UNIQUE (name)
);
CREATE INDEX egresses_labels_idx ON egresses USING gin (labels jsonb_path_ops);

-- gwctl.v1.GatewaySettings as protobuf JSON, canonical; empty: the defaults.
ALTER TABLE gateways ADD COLUMN settings jsonb NOT NULL DEFAULT '{}';

-- An agent believes no more than 50,000 entries, of whatever kinds.
ALTER TABLE desired_states ADD COLUMN entries integer NOT NULL DEFAULT 0;
UPDATE desired_states SET entries = forwards;
-- The revision whose removals an operator asked for, however many; it counts for that revision only.
ALTER TABLE desired_states ADD COLUMN mass_removal_revision bigint;
ALTER TABLE desired_states
  DROP CONSTRAINT desired_states_forwards_check,
  ADD CONSTRAINT desired_states_entries_check CHECK (forwards >= 0 AND entries BETWEEN forwards AND 50000);

DROP VIEW placement_states;
ALTER TABLE listeners DROP CONSTRAINT listeners_placement_fkey;
ALTER TABLE placement_reports DROP CONSTRAINT placement_reports_placement_fkey;

-- An entry is of a forward, of an egress, or, where it is of neither, the gateway's settings. Agents know it by one uid.
ALTER TABLE placements DROP CONSTRAINT placements_pkey;
ALTER TABLE placements
  ALTER COLUMN forward_uid DROP NOT NULL,
  ADD COLUMN egress_uid uuid,
  ADD COLUMN entry_uid uuid NOT NULL GENERATED ALWAYS AS (coalesce(forward_uid, egress_uid, gateway_uid)) STORED,
  ADD COLUMN kind text NOT NULL GENERATED ALWAYS AS
    (CASE WHEN forward_uid IS NOT NULL THEN 'forward' WHEN egress_uid IS NOT NULL THEN 'egress' ELSE 'settings' END) STORED;
ALTER TABLE placements
  ADD CONSTRAINT placements_pkey PRIMARY KEY (gateway_uid, entry_uid),
  ADD CONSTRAINT placements_one_kind CHECK (num_nonnulls(forward_uid, egress_uid) <= 1),
  ADD CONSTRAINT placements_egress_uid_fkey FOREIGN KEY (egress_uid) REFERENCES egresses (uid) ON DELETE CASCADE;
COMMENT ON COLUMN placements.desired IS
  'An encoded gwctl.agent.v1.DesiredForward, DesiredEgress or gwctl.v1.GatewaySettings, exactly as it travels';
-- Each row stands in the index of its own kind only.
DROP INDEX placements_forward_uid_idx;
CREATE INDEX placements_forward_uid_idx ON placements (forward_uid) WHERE forward_uid IS NOT NULL;
CREATE INDEX placements_egress_uid_idx ON placements (egress_uid) WHERE egress_uid IS NOT NULL;

-- A forward on every address now claims the family that it forwards: until here all were IPv4, and claimed both.
DELETE FROM listeners WHERE family = 6;
ALTER TABLE listeners ADD CONSTRAINT listeners_placement_fkey FOREIGN KEY (gateway_uid, forward_uid)
  REFERENCES placements (gateway_uid, entry_uid) ON DELETE CASCADE;

-- What an egress claims of its gateway: no packet has its source translated by two egresses. The sources of one egress do not
-- overlap each other.
CREATE TABLE egress_sources (
  gateway_uid   uuid     NOT NULL,
  egress_uid    uuid     NOT NULL,
  -- Which one of the egress's sources.
  position      smallint NOT NULL,
  out_interface text     NOT NULL,
  source        inet     NOT NULL,
  CONSTRAINT egress_sources_pkey PRIMARY KEY (gateway_uid, egress_uid, position),
  CONSTRAINT egress_sources_placement_fkey FOREIGN KEY (gateway_uid, egress_uid)
    REFERENCES placements (gateway_uid, entry_uid) ON DELETE CASCADE,
  CONSTRAINT egress_sources_one_egress EXCLUDE USING gist
    (gateway_uid WITH =, out_interface WITH =, source inet_ops WITH &&)
);

ALTER TABLE changes RENAME COLUMN forward_uid TO entry_uid;
ALTER TABLE changes
  ADD COLUMN kind text NOT NULL DEFAULT 'forward',
  ADD CONSTRAINT changes_kind_check CHECK (kind IN ('forward', 'egress', 'settings'));
ALTER TABLE changes ALTER COLUMN kind DROP DEFAULT;

ALTER TABLE placement_reports RENAME COLUMN forward_uid TO entry_uid;
ALTER TABLE placement_reports ADD CONSTRAINT placement_reports_placement_fkey FOREIGN KEY (gateway_uid, entry_uid)
  REFERENCES placements (gateway_uid, entry_uid) ON DELETE CASCADE;

ALTER TABLE events ADD COLUMN egress text NOT NULL DEFAULT '';

-- How each forward and each egress stands: the agent's word where there is one that counts. UNKNOWN where the observer is gone or has
-- not yet spoken in its present session; PENDING where it spoke of an older generation, or of none.
CREATE VIEW placement_states AS
  SELECT p.gateway_uid, p.forward_uid, p.egress_uid, g.name AS gateway, p.generation, p.revision,
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
    LEFT JOIN placement_reports r ON r.gateway_uid = p.gateway_uid AND r.entry_uid = p.entry_uid
   WHERE p.kind <> 'settings';
