"""A repository with objects of every kind that Feast and this library both define. everything_test.go defines the same."""

from datetime import timedelta

import pandas as pd

from feast import (
    Aggregation,
    BatchFeatureView,
    BigQuerySource,
    ConflictPolicy,
    Entity,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    KafkaSource,
    KinesisSource,
    LabelView,
    OnDemandFeatureView,
    Project,
    PushSource,
    RedshiftSource,
    RequestSource,
    SnowflakeSource,
    StreamFeatureView,
    ValueType,
)
from feast.data_format import AvroFormat, JsonFormat, ProtoFormat
from feast.feature_logging import LoggingConfig
from feast.infra.data_sources.contrib.iceberg_catalog.iceberg_source import IcebergSource
from feast.infra.offline_stores.contrib.athena_offline_store.athena_source import AthenaSource
from feast.infra.offline_stores.contrib.mssql_offline_store.mssqlserver_source import MsSqlServerSource
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
from feast.infra.offline_stores.file_source import FileLoggingDestination, SavedDatasetFileStorage
from feast.on_demand_feature_view import on_demand_feature_view
from feast.permissions.action import AuthzedAction
from feast.permissions.permission import Permission
from feast.permissions.policy import (
    CombinedGroupNamespacePolicy,
    GroupBasedPolicy,
    NamespaceBasedPolicy,
    RoleBasedPolicy,
)
from feast.saved_dataset import SavedDataset
from feast.types import (
    Array,
    Bool,
    Bytes,
    Decimal,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    Map,
    ScalarMap,
    Set,
    String,
    Struct,
    TimeUuid,
    UnixTimestamp,
    Uuid,
    ZonedTimestamp,
)

project = Project(name="interop", description="Both sides", tags={"team": "a"}, owner="owner@example.org")

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64, description="A driver", tags={"pii": "no"}, owner="me")
customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
item = Entity(name="item", value_type=ValueType.INT64)

driver_file = FileSource(
    name="driver_file", path="data/driver.parquet", timestamp_field="event_timestamp", created_timestamp_column="created",
    field_mapping={"cr": "conv_rate"}, description="Files", tags={"a": "1"}, owner="me",
)
plain_file = FileSource(name="plain_file", path="s3://bucket/plain.parquet", timestamp_field="ts", s3_endpoint_override="http://localhost:1")
bigquery = BigQuerySource(name="bigquery", table="p.d.t", timestamp_field="ts", date_partition_column="day")
bigquery_query = BigQuerySource(name="bigquery_query", query="SELECT 1", timestamp_field="ts")
redshift = RedshiftSource(name="redshift", table="t", schema="s", database="d", timestamp_field="ts")
snowflake = SnowflakeSource(name="snowflake", table="T", schema="S", database="D", timestamp_field="ts")
spark = SparkSource(name="spark", path="/data/x", file_format="parquet", timestamp_field="ts")
athena = AthenaSource(name="athena", table="t", database="d", data_source="AwsDataCatalog", timestamp_field="ts")
mssql = MsSqlServerSource(name="mssql", table_ref="dbo.t", connection_str="mssql://u:p@h/d", event_timestamp_column="ts")
iceberg = IcebergSource(name="iceberg", catalog_name="c", endpoint="http://localhost:2", warehouse="w", namespace="n", table="t", timestamp_field="ts")
kafka = KafkaSource(
    name="kafka", timestamp_field="event_timestamp", message_format=AvroFormat('{"type": "record"}'), kafka_bootstrap_servers="localhost:9092",
    topic="t", batch_source=driver_file, watermark_delay_threshold=timedelta(minutes=5),
)
kinesis = KinesisSource(
    name="kinesis", timestamp_field="event_timestamp", record_format=ProtoFormat("a.B"), region="eu", stream_name="s", batch_source=driver_file,
)
pushed = PushSource(name="pushed", batch_source=driver_file, description="Pushed", tags={"b": "2"}, owner="me")
labels_pushed = PushSource(name="labels_pushed", batch_source=plain_file)
request = RequestSource(name="request", schema=[Field(name="amount", dtype=Float64), Field(name="country", dtype=String)])

driver_stats = FeatureView(
    name="driver_stats", entities=[driver], ttl=timedelta(days=1), source=driver_file, online=True, offline=True,
    description="Statistics", tags={"team": "x", "tier": "1"}, owner="me", org="ads",
    schema=[
        Field(name="driver_id", dtype=Int64),
        Field(name="conv_rate", dtype=Float32, description="Conversions", tags={"unit": "1"}),
        Field(name="acc_rate", dtype=Float64),
        Field(name="trips", dtype=Int32),
    ],
)
pair_stats = FeatureView(
    name="pair_stats", entities=[driver, customer], ttl=timedelta(hours=36, seconds=1, microseconds=5), source=plain_file, online=True,
    schema=[Field(name="customer_id", dtype=String), Field(name="driver_id", dtype=Int64), Field(name="together", dtype=Int64)],
)
global_stats = FeatureView(name="global_stats", entities=[], source=plain_file, online=False, schema=[Field(name="total", dtype=Int64)])
kafka_stats = FeatureView(
    name="kafka_stats", entities=[driver], source=kafka, online=True,
    schema=[Field(name="driver_id", dtype=Int64), Field(name="seen", dtype=UnixTimestamp)],
)
kinesis_stats = FeatureView(
    name="kinesis_stats", entities=[driver], source=kinesis, online=True,
    schema=[Field(name="driver_id", dtype=Int64), Field(name="kinesis_seen", dtype=UnixTimestamp)],
)
push_stats = FeatureView(
    name="push_stats", entities=[driver], source=pushed, online=True, enable_validation=True,
    schema=[Field(name="driver_id", dtype=Int64), Field(name="rating", dtype=Int64), Field(name="city", dtype=String)],
)
off = FeatureView(
    name="off", entities=[item], source=plain_file, online=True, enabled=False,
    schema=[Field(name="item", dtype=Int64), Field(name="x", dtype=Bool)],
)
vectors = FeatureView(
    name="vectors", entities=[item], source=plain_file, online=True,
    schema=[
        Field(name="item", dtype=Int64),
        Field(name="embedding", dtype=Array(Float32), vector_index=True, vector_length=3, vector_search_metric="cosine"),
        Field(name="title", dtype=String),
    ],
)
all_types = FeatureView(
    name="all_types", entities=[item], source=plain_file, online=True,
    schema=[
        Field(name="item", dtype=Int64),
        Field(name="f_bytes", dtype=Bytes),
        Field(name="f_string", dtype=String),
        Field(name="f_int32", dtype=Int32),
        Field(name="f_int64", dtype=Int64),
        Field(name="f_float32", dtype=Float32),
        Field(name="f_float64", dtype=Float64),
        Field(name="f_bool", dtype=Bool),
        Field(name="f_time", dtype=UnixTimestamp),
        Field(name="f_json", dtype=Json),
        Field(name="f_uuid", dtype=Uuid),
        Field(name="f_timeuuid", dtype=TimeUuid),
        Field(name="f_decimal", dtype=Decimal),
        Field(name="f_map", dtype=Map),
        Field(name="f_scalarmap", dtype=ScalarMap),
        Field(name="f_struct", dtype=Struct({"a": Int64, "b": String})),
        Field(name="f_zoned", dtype=ZonedTimestamp),
        Field(name="l_bytes", dtype=Array(Bytes)),
        Field(name="l_string", dtype=Array(String)),
        Field(name="l_int32", dtype=Array(Int32)),
        Field(name="l_int64", dtype=Array(Int64)),
        Field(name="l_float32", dtype=Array(Float32)),
        Field(name="l_float64", dtype=Array(Float64)),
        Field(name="l_bool", dtype=Array(Bool)),
        Field(name="l_time", dtype=Array(UnixTimestamp)),
        Field(name="l_uuid", dtype=Array(Uuid)),
        Field(name="l_decimal", dtype=Array(Decimal)),
        Field(name="l_map", dtype=Array(Map)),
        Field(name="l_struct", dtype=Array(Struct({"a": Int64}))),
        Field(name="l_list", dtype=Array(Array(Int64))),
        Field(name="s_string", dtype=Set(String)),
        Field(name="s_int32", dtype=Set(Int32)),
        Field(name="s_int64", dtype=Set(Int64)),
        Field(name="s_float64", dtype=Set(Float64)),
        Field(name="s_uuid", dtype=Set(Uuid)),
    ],
)
batch_stats = BatchFeatureView(
    name="batch_stats", mode="pandas", entities=[driver], source=driver_file, ttl=timedelta(hours=1), online=True,
    schema=[Field(name="driver_id", dtype=Int64), Field(name="sum", dtype=Int64)],
)
stream_stats = StreamFeatureView(
    name="stream_stats", entities=[driver], source=kafka, ttl=timedelta(minutes=5), timestamp_field="event_timestamp", mode="spark",
    schema=[Field(name="driver_id", dtype=Int64), Field(name="trips_1h", dtype=Int64)],
    aggregations=[Aggregation(column="trips", function="sum", time_window=timedelta(hours=1), slide_interval=timedelta(minutes=10))],
    online=True, description="Stream", tags={"s": "1"}, owner="me", enable_tiling=True, tiling_hop_size=timedelta(minutes=10),
)


@on_demand_feature_view(
    sources=[driver_stats, request],
    schema=[Field(name="rate_times", dtype=Float64), Field(name="rate_plus", dtype=Float64)],
    mode="python", description="Computed", tags={"o": "1"}, owner="me",
)
def computed(inputs):
    return {
        "rate_times": [a * b for a, b in zip(inputs["acc_rate"], inputs["amount"])],
        "rate_plus": [a + b for a, b in zip(inputs["acc_rate"], inputs["amount"])],
    }


@on_demand_feature_view(
    sources=[driver_stats[["trips"]]], entities=[driver], schema=[Field(name="driver_id", dtype=Int64), Field(name="double_trips", dtype=Int64)],
    write_to_online_store=True,
)
def written(df):
    out = pd.DataFrame()
    out["double_trips"] = df["trips"] * 2
    return out


labels = LabelView(
    name="labels", entities=[driver], source=labels_pushed, ttl=timedelta(days=2), labeler_field="who",
    conflict_policy=ConflictPolicy.MAJORITY_VOTE, reference_feature_view="driver_stats", description="Labels", tags={"l": "1"}, owner="me",
    schema=[Field(name="driver_id", dtype=Int64), Field(name="verdict", dtype=String), Field(name="who", dtype=String)],
)

activity = FeatureService(
    name="activity", features=[driver_stats[["conv_rate", "trips"]], pair_stats, computed], description="A model", tags={"m": "1"}, owner="me",
    logging_config=LoggingConfig(destination=FileLoggingDestination(path="logs", partition_by=["day"]), sample_rate=0.5),
)
aliased = FeatureService(
    name="aliased", features=[driver_stats.with_name("origin").with_join_key_map({"driver_id": "origin_id"}), pair_stats[["together"]], labels],
)
streamed = FeatureService(name="streamed", features=[stream_stats])

admins = Permission(name="admins", policy=RoleBasedPolicy(roles=["admin", "root"]))
readers = Permission(
    name="readers", types=[FeatureView, FeatureService], name_patterns=["driver_.*", "a.*"], required_tags={"team": "x"},
    actions=[AuthzedAction.DESCRIBE, AuthzedAction.READ_ONLINE], policy=GroupBasedPolicy(groups=["g1"]), tags={"p": "1"},
)
spaces = Permission(name="spaces", types=Entity, actions=AuthzedAction.CREATE, policy=NamespaceBasedPolicy(namespaces=["n1", "n2"]))
both = Permission(name="both", policy=CombinedGroupNamespacePolicy(groups=["g"], namespaces=["n"]), actions=[AuthzedAction.DELETE])

training = SavedDataset(
    name="training", features=["driver_stats:conv_rate"], join_keys=["driver_id"], storage=SavedDatasetFileStorage(path="training.parquet"),
    full_feature_names=True, tags={"t": "1"}, feature_service_name="activity", namespace="ns", collection="col", description="Kept",
)
