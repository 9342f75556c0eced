-- Terms begin with the name of their segment. What is there is indexed again in
-- the background, from the newest down to the place in meta.
INSERT INTO meta (key, value) SELECT 'reword', max(seq) + 1 FROM execution HAVING count(*) > 0;

CREATE FUNCTION showrunner_facet(name text, value text) RETURNS text IMMUTABLE LANGUAGE sql AS $$
  SELECT '_' || substr(encode(sha256(convert_to(name || '=' || value, 'UTF8')), 'hex'), 1, 16)
$$;

-- A new execution, unless its trigger event has started one before. That of an ordered
-- pipeline (lane 1) gets the owner of its pipeline, when that replica lives.
CREATE OR REPLACE FUNCTION showrunner_create(me text, new_id text, app text, pipe text, new_status text, new_live bigint, new_plan text, plan_data bytea,
  new_lane bigint, new_parent text, new_rollback text, new_created bigint, new_started bigint, new_ended bigint,
  new_request bytea, new_state bytea, new_words text[], trigger_id text, event_id text,
  OUT existed boolean, OUT found_id text, OUT new_seq bigint, OUT new_number bigint, OUT new_ord bigint, OUT new_owner text) LANGUAGE plpgsql AS $$
BEGIN
  IF event_id <> '' THEN
    INSERT INTO trigger_event VALUES (trigger_id, event_id, new_id, new_created) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
      existed := true;
      SELECT t.execution INTO found_id FROM trigger_event t WHERE t.trigger = trigger_id AND t.event = event_id;
      RETURN;
    END IF;
  END IF;
  existed := false;
  found_id := new_id;
  INSERT INTO plan VALUES (new_plan, plan_data) ON CONFLICT DO NOTHING;
  INSERT INTO pipeline AS p (application, name, number, ord, owner) VALUES (app, pipe, 1, 1, CASE new_lane WHEN 1 THEN me ELSE '' END)
    ON CONFLICT (application, name) DO UPDATE SET number = p.number + 1, ord = p.ord + 1,
      owner = CASE WHEN new_lane = 0 THEN p.owner WHEN EXISTS (SELECT 1 FROM replica r WHERE r.id = p.owner) THEN p.owner ELSE me END
    RETURNING p.number, p.ord, CASE new_lane WHEN 1 THEN p.owner ELSE me END INTO new_number, new_ord, new_owner;
  IF new_live = 0 THEN new_owner := ''; END IF;
  new_seq := nextval('execution_seq_seq');
  INSERT INTO execution (seq, id, application, pipeline, number, ord, status, live, owner, epoch, plan, lane, parent, rollback_of, created, started, ended, request, state, words)
    VALUES (new_seq, new_id, app, pipe, new_number, new_ord, new_status, new_live, new_owner, 1, new_plan, new_lane, new_parent, new_rollback,
      new_created, new_started, new_ended, new_request, new_state,
      array_to_tsvector(ARRAY (SELECT lpad(to_hex(new_seq >> 13), 6, '0') || w
        FROM unnest(new_words || new_number::text || showrunner_facet('application', app) || showrunner_facet('pipeline', pipe)) AS w)));
  IF new_owner <> '' AND new_owner <> me THEN
    PERFORM pg_notify('showrunner', json_build_object('to', new_owner, 'n', json_build_object('Kind', 'owned', 'Execution', new_id))::text);
  END IF;
END $$;
