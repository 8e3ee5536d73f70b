"""Runs the benchmark's join in other engines: one line of stdin names an engine, one line of stdout answers it.

Usage: compare.py FEATURES.parquet ENTITIES.parquet THREADS COLUMN...

The answer is: seconds, seconds of processor time, rows, rows with a value of the first column. The line "engines" answers
the names of all engines, "rewrite PATH" writes the features as pandas does, with pyarrow's defaults.
"""

import os
import sys
import time
import warnings

features, entities_path, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
columns = sys.argv[4:]
os.environ["POLARS_MAX_THREADS"] = str(threads)

warnings.simplefilter("ignore")  # polars cannot check that groups are sorted

import duckdb
import polars as pl
import pyarrow.parquet as pq

entities = pq.read_table(entities_path)
polars_entities = pl.from_arrow(entities)
db = duckdb.connect(config={"threads": threads})
db.execute("SET TimeZone = 'UTC'")
names = ", ".join(columns)
source = f"read_parquet('{features}')"
window = "f.event_timestamp <= e.event_timestamp AND f.event_timestamp >= e.event_timestamp - INTERVAL 24 HOUR"
alive = "CASE WHEN f.event_timestamp >= e.event_timestamp - INTERVAL 24 HOUR THEN f.{0} END AS {0}"
newest = f"""(SELECT * FROM {source} QUALIFY row_number() OVER (PARTITION BY driver_id, event_timestamp ORDER BY created DESC) = 1)"""
queries = {
    "duckdb row_number": f"""
        SELECT * EXCLUDE (rank) FROM (
            SELECT e.*, {", ".join("f." + c for c in columns)},
                   row_number() OVER (PARTITION BY e.row ORDER BY f.event_timestamp DESC, f.created DESC) AS rank
            FROM entities e LEFT JOIN {source} f ON e.driver_id = f.driver_id AND {window})
        WHERE rank = 1""",
    "duckdb arg_max": f"""
        SELECT e.*, {", ".join(f"m.v.{c} AS {c}" for c in columns)} FROM entities e LEFT JOIN (
            SELECT e.row, arg_max(struct_pack({", ".join(f"{c} := f.{c}" for c in columns)}), row(f.event_timestamp, f.created)) AS v
            FROM entities e JOIN {source} f ON e.driver_id = f.driver_id AND {window} GROUP BY e.row) m USING (row)""",
    "duckdb asof": f"""
        SELECT e.*, {", ".join(alive.format(c) for c in columns)}
        FROM entities e ASOF LEFT JOIN {newest} f ON e.driver_id = f.driver_id AND e.event_timestamp >= f.event_timestamp""",
}


def run_duckdb(query):
    return db.sql(query).to_arrow_table()


def run_polars():
    right = pl.scan_parquet(features).select("driver_id", "event_timestamp", "created", *columns).sort("event_timestamp", "created")
    left = polars_entities.lazy().sort("event_timestamp")
    joined = left.join_asof(right, on="event_timestamp", by="driver_id", strategy="backward", tolerance="24h")
    return joined.collect().to_arrow()


engines = {name: (lambda q=q: run_duckdb(q)) for name, q in queries.items()}
engines["polars"] = run_polars

for line in sys.stdin:
    word = line.strip()
    if word == "engines":
        print("\t".join(engines), flush=True)
        continue
    if word.startswith("rewrite "):
        pq.write_table(pq.read_table(features), word.removeprefix("rewrite "))
        print("ok", flush=True)
        continue
    wall, cpu = time.perf_counter(), time.process_time()
    table = engines[word]()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    found = table.num_rows - table.column(columns[0]).null_count
    print(f"{wall:.6f} {cpu:.6f} {table.num_rows} {found}", flush=True)
