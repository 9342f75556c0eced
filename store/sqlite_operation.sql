-- The journal of operations on clouds, by their keys: pending while answer is NULL.
CREATE TABLE operation (
  account TEXT NOT NULL, region TEXT NOT NULL, key TEXT NOT NULL, operation TEXT NOT NULL, fingerprint TEXT NOT NULL,
  answer BLOB, changed INTEGER NOT NULL, PRIMARY KEY (account, region, key)) WITHOUT ROWID;
CREATE INDEX operation_age ON operation (changed);
