-- A batch is one call, and each of its parts one statement over columns. What
-- came before, showrunner_fence and showrunner_create, stays for replicas of the
-- version before, while they are replaced.
--
-- Plans are made once for each connection, when a table may still be empty: they
-- must be right for large ones. So rows are looked up by their keys, whatever
-- the tables seem to hold. Columns of many rows are unfolded in the list of what
-- is selected, where that needs no copies.

-- Events get the next positions. The row that counts positions is locked until
-- the transaction is committed, so that positions become visible in their order:
-- no reader can see a later one and miss an earlier one. It is the last thing
-- that a transaction does. Those of dropped executions are left out.
CREATE OR REPLACE FUNCTION showrunner_events(times bigint[], types text[], applications text[], pipelines text[], executions text[], stages text[], bys text[], datas bytea[],
  dropped text[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  base bigint;
BEGIN
  UPDATE meta SET value = value + cardinality(times) WHERE key = 'position' RETURNING value - cardinality(times) INTO base;
  INSERT INTO event (position, time, type, application, pipeline, execution, stage, by, data)
    SELECT base + u.n, u.time, u.type, u.application, u.pipeline, u.execution, u.stage, u.by, u.data
    FROM (SELECT generate_subscripts(times, 1) AS n, unnest(times) AS time, unnest(types) AS type, unnest(applications) AS application, unnest(pipelines) AS pipeline,
      unnest(executions) AS execution, unnest(stages) AS stage, unnest(bys) AS by, unnest(datas) AS data) AS u
    WHERE dropped IS NULL OR u.execution <> ALL (dropped);
  RETURN base + cardinality(times);
END $$;

-- Messages are delivered to live executions, and their owners are told; returns
-- to how many.
CREATE OR REPLACE FUNCTION showrunner_mail(executions text[], stages text[], ids text[], datas bytea[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  told bigint;
BEGIN
  WITH sent AS (
    INSERT INTO mail (execution, stage, id, data)
      SELECT u.* FROM unnest(executions, stages, ids, datas) AS u (execution, stage, id, data)
      WHERE (SELECT e.live FROM execution e WHERE e.id = u.execution) = 1
      ON CONFLICT DO NOTHING RETURNING mail.execution)
  SELECT count(pg_notify('showrunner', json_build_object('to', e.owner, 'n', json_build_object('Kind', 'mail', 'Execution', e.id))::text)) INTO told
    FROM (SELECT DISTINCT s.execution FROM sent s) s JOIN execution e ON e.id = s.execution;
  RETURN told;
END $$;

-- It locks the replica's row first, so that nobody can take its work over before
-- the batch is committed, and refuses the batch when somebody has (SR001), when
-- one of its executions is another's (SR002), or when the batch is committed
-- already (SR003). Columns: f of what has to be this replica's, p of plans, c of
-- new executions in the order in which their rows are locked, h of heads, s of
-- stages, m of messages, e of events; a part that is not there is NULL. Returns
-- the position of the last event, what was made of the new executions, and those
-- that were not made because their trigger event has started another one before.
CREATE OR REPLACE FUNCTION showrunner_commit(me text, this bigint, f_ids text[], f_epochs bigint[], p_digests text[], p_datas bytea[],
  c_ids text[], c_applications text[], c_pipelines text[], c_statuses text[], c_lives bigint[], c_plans text[], c_lanes bigint[], c_parents text[], c_rollbacks text[],
  c_createds bigint[], c_starteds bigint[], c_endeds bigint[], c_requests bytea[], c_states bytea[], c_terms text[], c_triggers text[], c_events text[],
  h_ids text[], h_statuses text[], h_lives bigint[], h_owners text[], h_starteds bigint[], h_endeds bigint[], h_states bytea[],
  s_executions text[], s_indexes bigint[], s_wakes bigint[], s_datas bytea[],
  m_executions text[], m_stages text[], m_ids text[], m_datas bytea[],
  e_times bigint[], e_types text[], e_applications text[], e_pipelines text[], e_executions text[], e_stages text[], e_bys text[], e_datas bytea[],
  OUT last bigint, OUT made text[], OUT seqs bigint[], OUT numbers bigint[], OUT ords bigint[], OUT owners text[], OUT dropped text[], OUT instead text[]) LANGUAGE plpgsql
  SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  told bigint;
BEGIN
  UPDATE replica SET batch = this WHERE id = me AND batch <> this;
  IF NOT FOUND THEN
    IF EXISTS (SELECT 1 FROM replica WHERE id = me) THEN
      RAISE EXCEPTION 'batch % of replica % is committed', this, me USING ERRCODE = 'SR003';
    END IF;
    RAISE EXCEPTION 'the session of replica % was lost', me USING ERRCODE = 'SR001';
  END IF;
  IF EXISTS (SELECT 1 FROM unnest(f_ids, f_epochs) AS u (id, epoch)
      WHERE (SELECT e.owner = me AND e.epoch = u.epoch AND e.live = 1 FROM execution e WHERE e.id = u.id) IS NOT TRUE) THEN
    RAISE EXCEPTION 'an execution belongs to another replica' USING ERRCODE = 'SR002';
  END IF;

  IF c_events IS NOT NULL THEN
    INSERT INTO trigger_event (trigger, event, execution, time)
      SELECT u.trigger, u.event, u.id, u.created FROM unnest(c_triggers, c_events, c_ids, c_createds) AS u (trigger, event, id, created)
      WHERE u.event <> '' ON CONFLICT DO NOTHING;
    SELECT array_agg(u.id), array_agg(t.execution) INTO dropped, instead
      FROM unnest(c_triggers, c_events, c_ids) AS u (trigger, event, id) JOIN trigger_event t ON t.trigger = u.trigger AND t.event = u.event
      WHERE u.event <> '' AND t.execution <> u.id;
  END IF;
  IF s_executions IS NOT NULL THEN
    INSERT INTO stage (execution, idx, wake, data)
      SELECT u.* FROM (SELECT unnest(s_executions) AS execution, unnest(s_indexes) AS idx, unnest(s_wakes) AS wake, unnest(s_datas) AS data) AS u
      WHERE dropped IS NULL OR u.execution <> ALL (dropped)
      ON CONFLICT (execution, idx) DO UPDATE SET wake = excluded.wake, data = excluded.data;
  END IF;
  -- From here on pipelines are locked, which other replicas may wait for.
  IF c_ids IS NOT NULL THEN
    INSERT INTO plan SELECT u.* FROM unnest(p_digests, p_datas) AS u (digest, data) ON CONFLICT DO NOTHING;
    WITH c AS (
      SELECT * FROM unnest(c_ids, c_applications, c_pipelines, c_statuses, c_lives, c_plans, c_lanes, c_parents, c_rollbacks,
          c_createds, c_starteds, c_endeds, c_requests, c_states, c_terms) WITH ORDINALITY
        AS u (id, application, pipeline, status, live, plan, lane, parent, rollback_of, created, started, ended, request, state, terms, n)
      WHERE dropped IS NULL OR u.id <> ALL (dropped)),
    -- A pipeline counts its executions; those of an ordered pipeline (lane 1) get the owner of their pipeline, when that replica lives.
    p AS (
      INSERT INTO pipeline AS p (application, name, number, ord, owner)
        SELECT c.application, c.pipeline, count(*), count(*), CASE max(c.lane) WHEN 1 THEN me ELSE '' END
        FROM c GROUP BY c.application, c.pipeline ORDER BY c.application COLLATE "C", c.pipeline COLLATE "C"
      ON CONFLICT (application, name) DO UPDATE SET number = p.number + excluded.number, ord = p.ord + excluded.ord,
        owner = CASE WHEN excluded.owner = '' THEN p.owner WHEN EXISTS (SELECT 1 FROM replica r WHERE r.id = p.owner) THEN p.owner ELSE excluded.owner END
      RETURNING p.application, p.name, p.number, p.ord, p.owner),
    -- Terms begin with the name of their segment.
    x AS (
      SELECT nextval('execution_seq_seq') AS seq, y.* FROM (
        SELECT c.*, p.number, p.ord, p.owner, row_number() OVER (PARTITION BY c.application, c.pipeline ORDER BY c.n DESC) - 1 AS after
        FROM c JOIN p ON p.application = c.application AND p.name = c.pipeline ORDER BY c.n) y),
    made AS (
      INSERT INTO execution (seq, id, application, pipeline, number, ord, status, live, owner, epoch, plan, lane, parent, rollback_of,
          created, started, ended, request, state, words)
        SELECT x.seq, x.id, x.application, x.pipeline, x.number - x.after, x.ord - x.after, x.status, x.live,
          CASE WHEN x.live = 0 THEN '' WHEN x.lane = 1 THEN x.owner ELSE me END, 1, x.plan, x.lane, x.parent, x.rollback_of,
          x.created, x.started, x.ended, x.request, x.state,
          array_to_tsvector(string_to_array(ltrim(replace(' ' || x.terms || ' ' || (x.number - x.after), ' ', ' ' || lpad(to_hex(x.seq >> 13), 6, '0'))), ' '))
        FROM x
      RETURNING execution.id, execution.seq, execution.number, execution.ord, execution.owner)
    SELECT array_agg(m.id), array_agg(m.seq), array_agg(m.number), array_agg(m.ord), array_agg(m.owner),
        count(pg_notify('showrunner', json_build_object('to', m.owner, 'n', json_build_object('Kind', 'owned', 'Execution', m.id))::text)) FILTER (WHERE m.owner NOT IN ('', me))
      INTO made, seqs, numbers, ords, owners, told FROM made m;
  END IF;

  IF h_ids IS NOT NULL THEN -- live is not for the planner to look rows up by
    UPDATE execution e SET status = u.status, live = u.live, owner = u.owner, started = u.started, ended = u.ended, state = u.state
      FROM unnest(h_ids, h_statuses, h_lives, h_owners, h_starteds, h_endeds, h_states) AS u (id, status, live, owner, started, ended, state)
      WHERE e.id = u.id AND e.live + 0 = 1;
    DELETE FROM mail WHERE stage = '' -- wishes for the end are fulfilled
      AND execution = ANY (ARRAY (SELECT u.id FROM unnest(h_ids, h_lives) AS u (id, live) WHERE u.live = 0));
  END IF;
  IF m_ids IS NOT NULL THEN
    PERFORM showrunner_mail(m_executions, m_stages, m_ids, m_datas);
  END IF;
  IF e_times IS NOT NULL THEN
    last := showrunner_events(e_times, e_types, e_applications, e_pipelines, e_executions, e_stages, e_bys, e_datas, dropped);
  END IF;
END $$;

-- A stage is written a few times within moments and then no more: where its page
-- has room, none of that touches an index, and what was written before is gone by
-- the time others fill the room.
ALTER TABLE stage SET (fillfactor = 30);
