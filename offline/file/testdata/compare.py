"""Runs the benchmark's join in other engines: one line of stdin names an engine, one line of stdout answers it.

Usage: compare.py FEATURES.parquet ENTITIES.parquet THREADS COLUMN...

The answer is: seconds, seconds of processor time, rows, rows with a value of the first column. The line "engines" answers
the names of all engines: DuckDB, and Polars and Feast where they are installed. "rewrite PATH" writes the features as pandas
does, with pyarrow's defaults.
"""

import importlib.util
import os
import sys
import tempfile
import time
import warnings
from datetime import timedelta

features, entities_path, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
columns = sys.argv[4:]
if hasattr(os, "sched_setaffinity"):  # for those that cannot be told
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
os.environ["POLARS_MAX_THREADS"] = str(threads)

warnings.simplefilter("ignore")  # polars cannot check that groups are sorted

import duckdb
import pyarrow.parquet as pq

entities = pq.read_table(entities_path)
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


def polars_engine():
    import polars as pl

    polars_entities = pl.from_arrow(entities)

    def run():
        right = pl.scan_parquet(features).select("driver_id", "event_timestamp", "created", *columns).sort("event_timestamp", "created")
        left = polars_entities.lazy().sort("event_timestamp")
        joined = left.join_asof(right, on="event_timestamp", by="driver_id", strategy="backward", tolerance="24h")
        return joined.collect().to_arrow()

    return run


def feast_engine(offline_store):
    """Feast's whole call, from a data frame to Arrow, with one of its offline stores."""
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Float64, Int64, String

    warnings.simplefilter("ignore")  # Feast wants them shown
    repo = f"{scratch.name}/{offline_store}"
    store = FeatureStore(config=RepoConfig(
        project="compare", provider="local", registry=f"{repo}/registry.db", entity_key_serialization_version=3,
        online_store={"type": "sqlite", "path": f"{repo}/online.db"}, offline_store={"type": offline_store},
    ))
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    types = {"f1": Int64, "f3": String}
    store.apply([driver, FeatureView(
        name="view", entities=[driver], ttl=timedelta(days=1), schema=[Field(name=c, dtype=types.get(c, Float64)) for c in columns],
        source=FileSource(path=features, timestamp_field="event_timestamp", created_timestamp_column="created"),
    )])
    rows = entities.to_pandas()
    references = [f"view:{c}" for c in columns]
    return lambda: store.get_historical_features(rows, references).to_arrow()


scratch = tempfile.TemporaryDirectory()
engines = {name: (lambda q=q: run_duckdb(q)) for name, q in queries.items()}
if importlib.util.find_spec("polars"):
    engines["polars"] = polars_engine()
if importlib.util.find_spec("feast"):
    engines["feast duckdb"] = feast_engine("duckdb")
    engines["feast file"] = feast_engine("file")

answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)  # Feast prints
for line in sys.stdin:
    word = line.strip()
    if word == "engines":
        print("\t".join(engines), file=answers)
        continue
    if word.startswith("rewrite "):
        pq.write_table(pq.read_table(features), word.removeprefix("rewrite "))
        print("ok", file=answers)
        continue
    wall, cpu = time.perf_counter(), time.process_time()
    table = engines[word]()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    found = table.num_rows - table.column(columns[0]).null_count
    print(f"{wall:.6f} {cpu:.6f} {table.num_rows} {found}", file=answers)
