"""Writes the Parquet files of TestTypes with pyarrow, and what reading them has to answer (types.json).

Usage: write_types.py, in this directory. Needs pyarrow.
"""

import base64
import datetime as dt
import decimal
import json

import pyarrow as pa
import pyarrow.parquet as pq

D = decimal.Decimal
N = 60
utc = dt.timezone.utc


def every(make, nulls=7):
    """A column of N values, of which every seventh is null."""
    return [None if i % nulls == 3 else make(i) for i in range(N)]


def when(i):
    return dt.datetime(2024, 1, 1, tzinfo=utc) + dt.timedelta(hours=i, microseconds=i)


def micros(t):
    return int((t - dt.datetime(1970, 1, 1, tzinfo=utc)) / dt.timedelta(microseconds=1))


flat = {
    "e": pa.array([when(i) for i in range(N)], pa.timestamp("us", "UTC")),
    "i8": pa.array(every(lambda i: i - 30), pa.int8()),
    "i16": pa.array(every(lambda i: i * 1000 - 30000), pa.int16()),
    "i32": pa.array(every(lambda i: i * 70000000 - 2**31), pa.int32()),
    "i64": pa.array(every(lambda i: -(2**63) + i), pa.int64()),
    "u8": pa.array(every(lambda i: 255 - i), pa.uint8()),
    "u16": pa.array(every(lambda i: 65535 - i), pa.uint16()),
    "u32": pa.array(every(lambda i: 2**32 - 1 - i), pa.uint32()),
    "u64": pa.array(every(lambda i: 2**64 - 1 - i), pa.uint64()),
    "f32": pa.array(every(lambda i: i / 8), pa.float32()),
    "f64": pa.array(every(lambda i: -i / 16 if i else float("nan")), pa.float64()),
    "bool": pa.array(every(lambda i: i % 3 == 0), pa.bool_()),
    "text": pa.array(every(lambda i: "ünïcode %d" % (i % 5)), pa.string()),
    "large": pa.array(every(lambda i: "x" * (i % 11)), pa.large_string()),
    "view": pa.array(every(lambda i: "a longer text than fits inline %d" % i), pa.string_view()),
    "dict": pa.array(every(lambda i: "d%d" % (i % 3)), pa.string()).dictionary_encode(),
    "bytes": pa.array(every(lambda i: bytes([i, 255])), pa.binary()),
    "fixed": pa.array(every(lambda i: bytes([i] * 5)), pa.binary(5)),
    "date": pa.array(every(lambda i: dt.date(2024, 1, 1) + dt.timedelta(days=i)), pa.date32()),
    "t32": pa.array(every(lambda i: dt.time(1, 2, i)), pa.time32("ms")),
    "t64": pa.array(every(lambda i: dt.time(1, 2, i, 5)), pa.time64("us")),
    "ts_s": pa.array(every(lambda i: when(i).replace(microsecond=0)), pa.timestamp("s", "UTC")),
    "ts_ms": pa.array(every(lambda i: when(i).replace(microsecond=i * 1000)), pa.timestamp("ms", "UTC")),
    "ts_ns": pa.array(every(lambda i: micros(when(i)) * 1000 + 999), pa.timestamp("ns", "UTC")),
    "ts_naive": pa.array(every(lambda i: when(i).replace(tzinfo=None)), pa.timestamp("us")),
    "ts_paris": pa.array(every(lambda i: when(i)), pa.timestamp("us", "Europe/Paris")),
    "duration": pa.array(every(lambda i: i * 1000), pa.duration("us")),
    "dec9": pa.array(every(lambda i: D(i - 30) / 4), pa.decimal128(9, 2)),
    "dec38": pa.array(every(lambda i: D(10**30 + i) * (-1) ** i / 100), pa.decimal128(38, 2)),
    "dec50": pa.array(every(lambda i: D((10**45 + i) * (-1) ** i)), pa.decimal256(50, 0)),
    "null": pa.array([None] * N, pa.null()),
}
nested = {
    "e": flat["e"],
    "doubles": pa.array(every(lambda i: [None if k == 2 else k / 2 for k in range(i % 4)]), pa.list_(pa.float64())),
    "texts": pa.array(every(lambda i: ["t%d" % k for k in range(i % 3)]), pa.list_(pa.string())),
    "lists": pa.array(every(lambda i: [None if k == 1 else [k, i] for k in range(i % 3)]), pa.list_(pa.list_(pa.int32()))),
    "structs": pa.array(every(lambda i: [{"a": i, "b": None if k else "x"} for k in range(i % 3)]), pa.list_(pa.struct([("a", pa.int64()), ("b", pa.string())]))),
    "struct": pa.array(every(lambda i: {"a": None if i % 2 else i, "t": when(i), "l": [i] * (i % 3)}),
                       pa.struct([("a", pa.int64()), ("t", pa.timestamp("ns", "UTC")), ("l", pa.list_(pa.int64()))])),
    "map": pa.array(every(lambda i: [("k%d" % k, k) for k in range(i % 3)]), pa.map_(pa.string(), pa.int64())),
    "three": pa.array(every(lambda i: [1.5, i, 0.25]), pa.list_(pa.float64(), 3)),
    "days": pa.array(every(lambda i: [dt.date(2024, 1, 1 + i % 28)]), pa.list_(pa.date32())),
    "decimals": pa.array(every(lambda i: [D(i) / 4, None]), pa.list_(pa.decimal128(12, 2))),
}


def text(value, typ):
    if value is None:
        return "null"
    if pa.types.is_timestamp(typ):
        us = value // 1000 if typ.unit == "ns" else value * {"s": 10**6, "ms": 1000, "us": 1}[typ.unit]
        t = dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=us)
        rest = (".%06d" % t.microsecond).rstrip("0").rstrip(".")
        return '{"$ts":"%s%sZ"}' % (t.strftime("%Y-%m-%dT%H:%M:%S"), rest)
    if pa.types.is_list(typ) or pa.types.is_fixed_size_list(typ):
        return "[" + ",".join(text(raw(v), typ.value_type) for v in value) + "]"
    if pa.types.is_map(typ):
        return "[" + ",".join('{"key":%s,"value":%s}' % (text(k, typ.key_type), text(v, typ.item_type)) for k, v in value) + "]"
    if pa.types.is_struct(typ):
        return "{" + ",".join('"%s":%s' % (f.name, text(raw(value[f.name]), f.type)) for f in typ) + "}"
    if pa.types.is_floating(typ):
        if value != value:
            return '{"$float":"NaN"}'
        return repr(value).removesuffix(".0") if value or str(value)[0] != "-" else "-0"
    if pa.types.is_boolean(typ):
        return "true" if value else "false"
    if pa.types.is_binary(typ) or pa.types.is_fixed_size_binary(typ):
        return '{"$b64":"%s"}' % base64.b64encode(value).decode()
    if pa.types.is_date(typ):
        return '{"$date":"%s"}' % value
    if pa.types.is_integer(typ):
        return str(value)
    if pa.types.is_decimal(typ):
        return '"%s"' % format(value, "f")
    if pa.types.is_duration(typ):
        return '"%dus"' % value
    if pa.types.is_time(typ):
        return '"%s"' % (value.strftime("%H:%M:%S.") + ("%06d" % value.microsecond)[: 3 if typ.unit == "ms" else 6])
    return json.dumps(value, ensure_ascii=False)


def raw(scalar):
    return scalar.value if isinstance(scalar, (pa.TimestampScalar, pa.DurationScalar)) else scalar


def column(array):
    if pa.types.is_dictionary(array.type):
        array = array.cast(pa.string())
    if pa.types.is_timestamp(array.type) or pa.types.is_duration(array.type):
        return [text(v, array.type) for v in array.cast(pa.int64()).to_pylist()]
    if pa.types.is_struct(array.type):
        parts = [column(array.field(i)) for i in range(array.type.num_fields)]
        return ["null" if not array[r].is_valid else
                "{" + ",".join('"%s":%s' % (f.name, parts[i][r]) for i, f in enumerate(array.type)) + "}" for r in range(len(array))]
    return [text(v, array.type) for v in array.to_pylist()]


expected = {}
for name, columns in {"flat": flat, "nested": nested}.items():
    table = pa.table(columns)
    expected[name] = {n: column(c) for n, c in columns.items()}
    variants = {
        "snappy": dict(compression="snappy"),
        "plain": dict(compression="none", use_dictionary=False, data_page_version="2.0", data_page_size=64, write_batch_size=8),
        "pages": dict(compression="zstd", data_page_size=64, write_batch_size=8, write_page_index=True, row_group_size=40, write_page_checksum=True),
        "gzip": dict(compression="gzip", data_page_version="2.0"),
        "brotli": dict(compression="brotli", store_schema=False),
    }
    for variant, options in variants.items():
        pq.write_table(table, f"{name}_{variant}.parquet", **options)

numbers = pa.table({k: flat[k] for k in ("e", "i32", "i64", "f32", "f64", "text", "fixed")})
pq.write_table(numbers, "flat_delta.parquet", use_dictionary=False, column_encoding={
    "e": "DELTA_BINARY_PACKED", "i32": "DELTA_BINARY_PACKED", "i64": "BYTE_STREAM_SPLIT", "f32": "BYTE_STREAM_SPLIT", "f64": "BYTE_STREAM_SPLIT",
    "text": "DELTA_BYTE_ARRAY", "fixed": "BYTE_STREAM_SPLIT"})
pq.write_table(numbers, "flat_length.parquet", use_dictionary=False, column_encoding={"text": "DELTA_LENGTH_BYTE_ARRAY"})
times = pa.table({"e": flat["e"].cast(pa.timestamp("ns")), "ts_ns": flat["ts_ns"], "i64": flat["i64"]})
pq.write_table(times, "flat_int96.parquet", use_deprecated_int96_timestamps=True)
# Compression that the Parquet library decodes wrongly: values that compress badly, so that the fault shows.
x = 1
values = []
for i in range(400):
    x = (x * 6364136223846793005 + 1442695040888963407) % 2**64
    values.append(x - 2**63)
pq.write_table(pa.table({"e": pa.array([when(i) for i in range(400)]), "v": pa.array(values, pa.int64())}), "lz4.parquet", compression="lz4", use_dictionary=False)
expected["lz4"] = {"v": [str(v) for v in values]}

with open("types.json", "w") as f:
    json.dump(expected, f, ensure_ascii=False, indent=0, separators=(",", ":"))
