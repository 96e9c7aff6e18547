"""The tables of the store that are not of one day: what each version of the schema adds."""

from __future__ import annotations

from typing import Final

_FIRST: Final = """
CREATE TABLE secret (value BLOB NOT NULL);
CREATE TABLE progress (stream TEXT PRIMARY KEY, offset INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE gaps (stream TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER, noticed INTEGER);
CREATE TABLE hours (
  hour INTEGER, user TEXT, grp TEXT, code INTEGER, files INTEGER, bytes INTEGER, took INTEGER,
  PRIMARY KEY (hour, user, grp, code)
) WITHOUT ROWID;
CREATE TABLE pending (
  id INTEGER PRIMARY KEY, user TEXT NOT NULL, path BLOB NOT NULL, announced INTEGER NOT NULL,
  size INTEGER NOT NULL, seen INTEGER NOT NULL, state INTEGER NOT NULL, done INTEGER NOT NULL,
  begun INTEGER, attempts INTEGER NOT NULL, code INTEGER, text TEXT, sender TEXT, host TEXT
);
CREATE INDEX pending_state ON pending (user, state, announced);
CREATE INDEX pending_seen ON pending (seen);
"""
_PATHS: Final = "CREATE INDEX pending_path ON pending (user, path, announced);"
_CHAINS: Final = """
CREATE TABLE chains (
  writer TEXT PRIMARY KEY, number INTEGER NOT NULL, hash TEXT NOT NULL, seen INTEGER NOT NULL
);
"""
# For what is unusual: what each hour was, what is known of directories, and what was found.
_ANOMALIES: Final = """
CREATE INDEX hours_user ON hours (user);
CREATE TABLE directories (
  user TEXT, path BLOB, hour INTEGER NOT NULL, PRIMARY KEY (user, path)
) WITHOUT ROWID;
CREATE INDEX directories_hour ON directories (hour);
CREATE TABLE waits (hour INTEGER, user TEXT, oldest INTEGER, PRIMARY KEY (hour, user))
WITHOUT ROWID;
CREATE TABLE judged (hour INTEGER NOT NULL);
CREATE TABLE anomalies (
  grp TEXT NOT NULL, user TEXT NOT NULL, kind TEXT NOT NULL, first INTEGER NOT NULL,
  last INTEGER NOT NULL, score REAL NOT NULL, value REAL NOT NULL, expected REAL NOT NULL,
  about BLOB NOT NULL
);
CREATE INDEX anomalies_last ON anomalies (last);
ALTER TABLE pending ADD COLUMN moved INTEGER;
"""
# Files that were sent, by how long they took from the announcement on.
_LATENCIES: Final = """
CREATE TABLE latencies (
  day INTEGER, user TEXT, grp TEXT, class INTEGER, files INTEGER NOT NULL,
  PRIMARY KEY (day, user, grp, class)
) WITHOUT ROWID;
CREATE INDEX latencies_user ON latencies (user);
"""
# What operators' playbooks have changed, by the time in milliseconds.
_CHANGES: Final = """
CREATE TABLE changes (id TEXT PRIMARY KEY, ended INTEGER NOT NULL, entry BLOB NOT NULL)
WITHOUT ROWID;
CREATE INDEX changes_ended ON changes (ended);
"""
# What limited files, of those that took long; in ``file`` the number of the row of that day.
_SLOW: Final = """
CREATE TABLE slow (
  day INTEGER, file INTEGER, word TEXT NOT NULL, why TEXT NOT NULL, connections TEXT NOT NULL,
  PRIMARY KEY (day, file)
) WITHOUT ROWID;
ALTER TABLE pending ADD COLUMN word TEXT;
ALTER TABLE pending ADD COLUMN why TEXT;
ALTER TABLE pending ADD COLUMN connections TEXT;
"""
# What each version adds to the one before.  A step that changes the tables of each day must do it
# for all of ``schema.days()``.
STEPS: list[str] = [_FIRST, _PATHS, _CHAINS, _ANOMALIES, _LATENCIES, _CHANGES, _SLOW]
