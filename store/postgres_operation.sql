-- The journal of operations on clouds, by their keys: pending while answer is NULL.
CREATE TABLE operation (
  account text NOT NULL, region text NOT NULL, key text COLLATE "C" NOT NULL, operation text NOT NULL, fingerprint text NOT NULL,
  answer bytea, changed bigint NOT NULL, PRIMARY KEY (account, region, key));
CREATE INDEX operation_age ON operation (changed);
