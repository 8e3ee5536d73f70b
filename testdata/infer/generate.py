"""Writes the files of this folder, and what Feast infers from their columns: python generate.py (Feast 0.67, pyarrow 26)."""

import datetime as dt
import json

import pyarrow as pa
import pyarrow.parquet as pq
from feast.infra.offline_stores.file_source import FileSource
from feast.repo_config import RepoConfig
from feast.type_map import pa_to_feast_value_type

L = pa.list_
NOW = dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)
GOLDEN = {  # the README of the golden registry names them
    "event_timestamp": (pa.timestamp("us", "UTC"), NOW), "driver_id": (pa.int64(), 1), "conv_rate": (pa.float32(), 0.5),
    "acc_rate": (pa.float64(), 0.5), "avg_daily_trips": (pa.int32(), 1), "name": (pa.string(), "a"), "active": (pa.bool_(), True),
    "last_seen_ns": (pa.int64(), 1), "tags_list": (L(pa.string()), ["a"]), "scores": (L(pa.float64()), [0.5]),
    "__hidden": (pa.int64(), 1), "blob": (pa.binary(), b"a"), "created": (pa.timestamp("us", "UTC"), NOW),
}
ONE_TS = {k: v for k, v in GOLDEN.items() if k not in ("created", "tags_list")} | {
    "untyped_id": (pa.string(), "a"), "u8": (pa.uint8(), 1), "i16": (pa.int16(), 1), "bools": (L(pa.bool_()), [True]), "ints": (L(pa.int64()), [1]),
}
TYPES = {
    "event_timestamp": (pa.timestamp("us", "UTC"), NOW), "ts_ns": (pa.timestamp("ns"), 0), "ts_ms": (pa.timestamp("ms"), 0),
    "i8": (pa.int8(), 1), "i16": (pa.int16(), 1), "i32": (pa.int32(), 1), "i64": (pa.int64(), 1),
    "u8": (pa.uint8(), 1), "u16": (pa.uint16(), 1), "u32": (pa.uint32(), 1), "u64": (pa.uint64(), 1),
    "f32": (pa.float32(), 0.5), "f64": (pa.float64(), 0.5), "s": (pa.string(), "a"), "ls": (pa.large_string(), "a"),
    "b": (pa.binary(), b"a"), "lb": (pa.large_binary(), b"a"), "bool": (pa.bool_(), True), "nul": (pa.null(), None),
    "l_i32": (L(pa.int32()), [1]), "l_i64": (L(pa.int64()), [1]), "l_f32": (L(pa.float32()), [0.5]), "l_f64": (L(pa.float64()), [0.5]),
    "l_s": (L(pa.string()), ["a"]), "l_ls": (L(pa.large_string()), ["a"]), "l_bool": (L(pa.bool_()), [True]), "l_b": (L(pa.binary()), [b"a"]),
    "l_ts": (L(pa.timestamp("us")), [0]), "l_l": (L(L(pa.int64())), [[1]]), "fixed": (L(pa.float32(), 2), [0.5, 1]),
    "large": (pa.large_list(pa.int64()), [1]), "map": (pa.map_(pa.string(), pa.int64()), [("a", 1)]),
    "struct": (pa.struct([("a", pa.int64())]), {"a": 1}), "l_struct": (L(pa.struct([("a", pa.int64())])), [{"a": 1}]),
    "dict": (pa.dictionary(pa.int32(), pa.string()), "a"),
}
LARGE = {k: TYPES[k] for k in ("event_timestamp", "ls")}
FILES = {
    "large_text": (LARGE, {}),
    "driver_stats": (GOLDEN, {"use_compliant_nested_type": False}), "one_ts": (ONE_TS, {}),
    "types": (TYPES, {}), "types_item": (TYPES, {"use_compliant_nested_type": False}), "types_no_arrow": (TYPES, {"store_schema": False}),
}
config = RepoConfig(project="p", registry="r.db", provider="local", offline_store={"type": "dask"}, entity_key_serialization_version=3)
inferred = {}
for name, (columns, options) in FILES.items():
    path = name + ".parquet"
    pq.write_table(pa.table({k: pa.array([v], type=t) for k, (t, v) in columns.items()}), path, **options)
    source = FileSource(name=name, path=path, timestamp_field="event_timestamp")
    inferred[path] = []
    for column, arrow in source.get_table_column_names_and_types(config):
        try:
            feast_type = pa_to_feast_value_type(arrow).name
        except KeyError:
            feast_type = ""  # an apply fails
        inferred[path].append({"name": column, "arrow": arrow, "type": feast_type})
with open("feast.json", "w") as f:
    f.write("{\n" + ",\n".join(json.dumps(k) + ": [\n" + ",\n".join("  " + json.dumps(c) for c in v) + "\n]" for k, v in inferred.items()) + "\n}\n")
