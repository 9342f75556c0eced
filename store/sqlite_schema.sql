CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE plan (digest TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE pipeline (
  application TEXT NOT NULL, name TEXT NOT NULL,
  number INTEGER NOT NULL, ord INTEGER NOT NULL,
  PRIMARY KEY (application, name)) WITHOUT ROWID;
CREATE TABLE execution (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
  application TEXT NOT NULL, pipeline TEXT NOT NULL, number INTEGER NOT NULL, ord INTEGER NOT NULL,
  status TEXT NOT NULL, live INTEGER NOT NULL, owner TEXT NOT NULL, epoch INTEGER NOT NULL,
  plan TEXT NOT NULL, lane INTEGER NOT NULL, parent TEXT, rollback_of TEXT,
  created INTEGER NOT NULL, started INTEGER, ended INTEGER,
  request BLOB NOT NULL, state BLOB NOT NULL);
CREATE INDEX execution_by_status ON execution (status, seq);
CREATE INDEX execution_by_application ON execution (application, status, seq);
CREATE INDEX execution_by_pipeline ON execution (application, pipeline, status, seq);
CREATE INDEX execution_live ON execution (seq) WHERE live = 1;
CREATE INDEX execution_by_parent ON execution (parent, seq) WHERE parent IS NOT NULL;
CREATE INDEX execution_by_rollback ON execution (rollback_of, seq) WHERE rollback_of IS NOT NULL;
CREATE INDEX execution_by_plan ON execution (plan);
CREATE VIRTUAL TABLE word USING fts5 (words, content='', contentless_delete=1, tokenize="unicode61 remove_diacritics 0", detail=none);
CREATE TABLE stage (
  execution TEXT NOT NULL, idx INTEGER NOT NULL, wake INTEGER, data BLOB NOT NULL,
  PRIMARY KEY (execution, idx)) WITHOUT ROWID;
CREATE INDEX stage_wake ON stage (wake, execution) WHERE wake IS NOT NULL;
CREATE TABLE mail (
  seq INTEGER PRIMARY KEY, execution TEXT NOT NULL, stage TEXT NOT NULL, id TEXT NOT NULL, data BLOB NOT NULL,
  UNIQUE (execution, stage, id));
CREATE TABLE event (
  position INTEGER PRIMARY KEY, time INTEGER NOT NULL, type TEXT NOT NULL,
  application TEXT NOT NULL, pipeline TEXT NOT NULL, execution TEXT NOT NULL, stage TEXT NOT NULL,
  by TEXT NOT NULL, data BLOB);
CREATE INDEX event_by_execution ON event (execution, position) WHERE execution <> '';
CREATE TABLE trigger_event (
  trigger TEXT NOT NULL, event TEXT NOT NULL, execution TEXT NOT NULL, time INTEGER NOT NULL,
  PRIMARY KEY (trigger, event)) WITHOUT ROWID;
CREATE INDEX trigger_event_age ON trigger_event (time);
CREATE TABLE record (
  collection TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, data BLOB NOT NULL, updated INTEGER NOT NULL,
  PRIMARY KEY (collection, key)) WITHOUT ROWID;
