"""Writes the files beside it that Feast's golden data lacks, with nothing but Python's own sqlite3 and datetime."""

import json
import os
import random
import sqlite3
import struct
import time
from datetime import datetime, timedelta, timezone

os.chdir(os.path.dirname(os.path.abspath(__file__)))


def key(driver):
    return struct.pack("<III9sIIq", 1, 2, 9, b"driver_id", 4, 8, driver)


def remove(*names):
    for name in names:
        for suffix in ("", "-wal", "-shm", "-journal"):
            if os.path.exists(name + suffix):
                os.remove(name + suffix)


# A file in WAL mode whose process ended without closing it: a=1 is in the file, a=2 and b=3 in the log only.
remove("wal.db")
if os.fork() == 0:
    db = sqlite3.connect("wal.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute('CREATE TABLE "p_stats" (entity_key BLOB, feature_name TEXT, value BLOB, value_text TEXT,  vector_value BLOB, '
               "event_ts timestamp, created_ts timestamp,  PRIMARY KEY(entity_key, feature_name))")
    db.execute('CREATE INDEX "p_stats_ek" ON "p_stats" (entity_key)')
    insert = "INSERT OR REPLACE INTO p_stats VALUES (?, ?, ?, ?, NULL, ?, NULL)"
    db.execute(insert, (key(1), "a", b"\x20\x01", "1", 1704164645))
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.execute(insert, (key(1), "a", b"\x20\x02", "2", 1704164646))
    db.execute(insert, (key(1), "b", b"\x20\x03", "3", 1704164646))
    os._exit(0)
os.wait()
os.remove("wal.db-shm")

# A file as Feast wrote it years ago: no value_text, event times as text; and times that others may have left.
remove("old.db")
db = sqlite3.connect("old.db")
db.execute('CREATE TABLE "p_stats" (entity_key BLOB, feature_name TEXT, value BLOB, event_ts timestamp, created_ts timestamp, '
           "PRIMARY KEY(entity_key, feature_name))")
db.execute('CREATE INDEX "p_stats_ek" ON "p_stats" (entity_key)')
for driver, event in enumerate([
    "2024-01-02 03:04:05.678901",
    "2024-01-02 03:04:05",
    "2024-01-02T03:04:05Z",
    "2024-01-01 22:04:05.5-05:00",
    1704164645.75,
    -0.25,
    1704164645,
    None,
]):
    db.execute("INSERT INTO p_stats VALUES (?, 'a', ?, ?, NULL)", (key(driver), b"\x20" + bytes([driver]), event))
db.commit()
db.close()

# What Feast stores for times on hosts in other zones, int(datetime.timestamp()) of the naive UTC time, and what it reads
# back: [zone, seconds, stored, read back], around changes of the clock.
random.seed(7)
changes = {
    "UTC": [(2024, 1, 2)],
    "America/New_York": [(1969, 12, 31), (2007, 3, 11), (2024, 3, 10), (2024, 11, 3)],
    "America/St_Johns": [(2006, 4, 2), (2006, 10, 29)],
    "Africa/Casablanca": [(2024, 3, 10), (2024, 4, 14)],
    "Asia/Kolkata": [(1950, 5, 5), (2024, 1, 2)],
    "Australia/Lord_Howe": [(2024, 4, 7), (2024, 10, 6)],
    "Europe/London": [(1968, 2, 18), (2024, 3, 31), (2024, 10, 27)],
    "Europe/Moscow": [(2010, 10, 31), (2011, 3, 27), (2014, 10, 26)],
    "Pacific/Apia": [(2011, 12, 30), (2011, 12, 31)],
}
cases = []
for zone, days in changes.items():
    os.environ["TZ"] = zone
    time.tzset()
    for day in days:
        for hours in list(range(-30, 54, 6)) + list(range(-3, 6)):
            t = datetime(*day) + timedelta(hours=hours, minutes=random.choice([0, 15, 30]), seconds=random.choice([0, 59]))
            stored = int(t.timestamp())
            back = datetime.fromtimestamp(stored)
            seconds, read = (int(x.replace(tzinfo=timezone.utc).timestamp()) for x in (t, back))
            cases.append([zone, seconds, stored, read])
with open("local_times.json", "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
