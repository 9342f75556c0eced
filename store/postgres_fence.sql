-- The number of a batch is taken once: a batch that is sent again because its
-- answer was lost, while the first one is still being committed, waits for that
-- one and is then refused, instead of being applied a second time.
CREATE OR REPLACE FUNCTION showrunner_fence(me text, this bigint, ids text[], epochs bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE replica SET batch = this WHERE id = me AND batch <> this;
  IF NOT FOUND THEN
    IF EXISTS (SELECT 1 FROM replica WHERE id = me) THEN
      RAISE EXCEPTION 'batch % of replica % is committed', this, me USING ERRCODE = 'SR003';
    END IF;
    RAISE EXCEPTION 'the session of replica % was lost', me USING ERRCODE = 'SR001';
  END IF;
  IF (SELECT count(*) FROM unnest(ids, epochs) AS u (id, epoch)
      JOIN execution e ON e.id = u.id AND e.owner = me AND e.epoch = u.epoch AND e.live = 1) <> cardinality(ids) THEN
    RAISE EXCEPTION 'an execution belongs to another replica' USING ERRCODE = 'SR002';
  END IF;
END $$;
