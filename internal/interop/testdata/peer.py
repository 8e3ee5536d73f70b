"""Feast as the tests of internal/interop talk to it.

Each line of standard input is a call, {"call": name, "args": {...}}; each is answered by one line on standard output,
{"result": ...} or {"error": {"class": ..., "message": ...}}. Calls run one after the other, in the order they come.
Messages of Feast travel as base64 of their serialized form, times as ISO 8601. A feature store stays open between calls,
as it does in a Python program that serves, so that what others write has to be noticed.

    python peer.py         serves calls until standard input ends
    python peer.py bench   prints what applying and writing cost in Feast
"""

import asyncio
import base64
import importlib
import json
import linecache
import os
import sqlite3
import sys
import tempfile
import time
import traceback
import warnings
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from feast import Entity, FeatureStore, Project, ValueType
from feast.data_source import PushMode
from feast.diff.property_diff import TransitionType
from feast.infra.registry.base_registry import BaseRegistry
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_contents import RepoContents
from feast.repo_operations import _get_repo_contents, apply_total_with_repo_instance
from feast.saved_dataset import SavedDataset
from feast.type_map import feast_value_type_to_python_type
from google.protobuf.message import Message

warnings.filterwarnings("ignore")  # after the import of Feast, which wants them shown

stores: dict[str, FeatureStore] = {}


def store_of(repo: str) -> FeatureStore:
    """The feature store of a directory, opened on the first call. The directory becomes the current one."""
    os.chdir(repo)  # from where DuckDB resolves paths of sources
    if repo not in stores:
        stores[repo] = FeatureStore(repo_path=repo)
    return stores[repo]


def definitions(repo: str) -> RepoContents:
    """What the *.py files of a directory define now, read as Feast's command line reads them."""
    for path in Path(repo).glob("*.py"):
        sys.modules.pop(path.stem, None)
    importlib.invalidate_caches()
    linecache.checkcache()  # where the source text of functions comes from
    sys.path.insert(0, repo)
    try:
        store = store_of(repo)
        return _get_repo_contents(Path(repo), store.project, store.config)
    finally:
        sys.path.remove(repo)


def encode(message: Message) -> str:
    return base64.b64encode(message.SerializeToString(deterministic=True)).decode()


def decode(kind, text: str):
    message = kind()
    message.ParseFromString(base64.b64decode(text))
    return message


def moment(text):
    return None if text is None else datetime.fromisoformat(text)


def frame(columns: dict) -> pd.DataFrame:
    """A data frame of columns of Values, converted to Python by Feast, or of times."""
    data = {}
    for name, column in columns.items():
        if "times" in column:
            data[name] = [moment(t) for t in column["times"]]
        else:
            values = [feast_value_type_to_python_type(decode(Value, v)) for v in column["values"]]
            data[name] = pd.Series(values, dtype=object)  # integers beside nulls would become floats
    return pd.DataFrame(data)


def environment(repo, variables):
    """Sets environment variables of this process, which Feast's registry stores read when they are opened."""
    os.environ.update(variables)


def open_repo(repo):
    """Opens the store anew, so that nothing is in its cache."""
    stores.pop(repo, None)
    store_of(repo)


def apply(repo):
    """feast apply: what the directory does not define any more is deleted."""
    store = store_of(repo)
    apply_total_with_repo_instance(store, store.project, store.registry, definitions(repo), skip_source_validation=True)


def apply_objects(repo):
    """FeatureStore.apply: what the directory does not define stays. Unlike feast apply it makes all tables."""
    store_of(repo).apply([o for kind in definitions(repo) for o in kind])


def apply_datasets(repo):
    """Registers the saved datasets that the directory defines, which feast apply leaves aside."""
    store = store_of(repo)
    definitions(repo)
    for path in Path(repo).glob("*.py"):
        for o in vars(sys.modules[path.stem]).values():
            if isinstance(o, SavedDataset):
                store.registry.apply_saved_dataset(o, store.project)


def plan(repo):
    """feast plan, as a list of [kind, name, transition, [[property, old, new], ...]] of what would change."""
    store = store_of(repo)
    registry_diff, infra_diff, _ = store.plan(definitions(repo))
    changes = [
        [
            d.feast_object_type.value,
            d.name,
            d.transition_type.name,
            [[p.property_name, str(p.val_existing), str(p.val_declared)] for p in d.feast_object_property_diffs],
        ]
        for d in registry_diff.feast_object_diffs
        if d.transition_type != TransitionType.UNCHANGED
    ]
    changes += [
        ["infra", d.name, d.transition_type.name, []]
        for d in infra_diff.infra_object_diffs
        if d.transition_type != TransitionType.UNCHANGED
    ]
    return changes


def objects(repo):
    """All objects of the project as Feast reads them, written again: {kind: [message, ...]}."""
    store = store_of(repo)
    r: BaseRegistry = store.registry
    lists = {
        "project": [r.get_project(store.project)],
        "entity": r.list_entities(store.project),
        "dataSource": r.list_data_sources(store.project),
        "featureView": r.list_feature_views(store.project),
        "streamFeatureView": r.list_stream_feature_views(store.project),
        "onDemandFeatureView": r.list_on_demand_feature_views(store.project),
        "labelView": r.list_label_views(store.project),
        "featureService": r.list_feature_services(store.project),
        "savedDataset": r.list_saved_datasets(store.project),
        "permission": r.list_permissions(store.project),
    }
    return {kind: [encode(o.to_proto()) for o in found] for kind, found in lists.items()}


def versions(repo, view):
    return [[v["version_number"], v["feature_view_type"]] for v in store_of(repo).list_feature_view_versions(view)]


def apply_entities(repo, prefix, count):
    """Applies entities one after the other, each in a transaction of the registry."""
    for i in range(count):
        store_of(repo).registry.apply_entity(Entity(name=f"{prefix}_{i}", value_type=ValueType.INT64), store_of(repo).project)


def get(repo, kind, name):
    """An object as the registry has it: its tags."""
    store = store_of(repo)
    return getattr(store.registry, f"get_{kind}")(name, *([] if kind == "project" else [store.project])).tags


def names(repo, kinds):
    """The names of what the registry lists."""
    store = store_of(repo)
    return sorted(o.name for o in getattr(store.registry, f"list_{kinds}")(*([] if kinds == "projects" else [store.project])))


def remove(repo, kind, name):
    """Deletes an object of the registry, and nothing else."""
    getattr(store_of(repo).registry, f"delete_{kind}")(name, store_of(repo).project)


def apply_entity(repo, name, tags):
    store_of(repo).registry.apply_entity(Entity(name=name, value_type=ValueType.INT64, tags=tags), store_of(repo).project)


def apply_project(repo, name, tags):
    store_of(repo).registry.apply_project(Project(name=name, tags=tags))


def close(repo):
    """Ends the connections of a SQL registry."""
    store = stores.pop(repo, None)
    if store is not None:
        for engine in {store.registry.write_engine, store.registry.read_engine}:
            engine.dispose()


def delete(repo, names):
    """Deletes views and services by name, their tables too."""
    store = store_of(repo)
    found = [v for v in store.list_all_feature_views() if v.name in names]
    found += [s for s in store.list_feature_services() if s.name in names]
    if len(found) != len(names):
        raise ValueError(f"{names} are not all there")
    store.apply([], objects_to_delete=found, partial=False)


def online(repo, entities, features=None, service=None, full_names=False):
    """get_online_features: the response message."""
    store = store_of(repo)
    columns = {
        name: [feast_value_type_to_python_type(decode(Value, v)) for v in values] for name, values in entities.items()
    }
    response = store.get_online_features(
        features=features if service is None else store.get_feature_service(service, allow_cache=True),
        entity_rows=[dict(zip(columns, row)) for row in zip(*columns.values())],
        full_feature_names=full_names,
    )
    return encode(response.proto)


def push(repo, source, columns, to="online"):
    store_of(repo).push(source, frame(columns), to=PushMode[to.upper()])


def write(repo, view, columns):
    store_of(repo).write_to_online_store(view, frame(columns))


def precompute(repo, service):
    """precompute_feature_service: the number of vectors."""
    return store_of(repo).precompute_feature_service(service)


def write_offline(repo, view, columns):
    store_of(repo).write_to_offline_store(view, frame(columns))


def history(repo, rows, out, features=None, service=None, full_names=False, created=False, start=None, end=None):
    """get_historical_features from one Parquet file to another, or, without entity rows, of a window."""
    store = store_of(repo)
    window = {"start_date": moment(start), "end_date": moment(end)} if rows is None else {}
    job = store.get_historical_features(
        # else integers beside nulls become floats
        entity_df=None if rows is None else pd.read_parquet(rows, dtype_backend="numpy_nullable"),
        features=features if service is None else store.get_feature_service(service),
        full_feature_names=full_names,
        **({"filter_by_created_timestamp": True} if created else {}),
        **window,
    )
    pyarrow.parquet.write_table(job.to_arrow(), out)


def put(repo, view, rows):
    """Writes rows as Values, through the same interface as materialization does: every type, and rows that lack features."""
    store = store_of(repo)
    data = []
    for row in rows:
        key = EntityKey()
        for name in sorted(row["key"]):
            key.join_keys.append(name)
            key.entity_values.append(decode(Value, row["key"][name]))
        values = {name: decode(Value, v) for name, v in row["values"].items()}
        data.append((key, values, moment(row["event"]), moment(row.get("created"))))
    table = next(v for v in store.list_all_feature_views() if v.name == view)
    store._get_provider().online_write_batch(store.config, table, data, None)


def parquet(repo, path, columns):
    """Writes a file source."""
    path = Path(repo, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pa.Table.from_pandas(frame(columns), preserve_index=False), path)


def materialize(repo, start, end, views, version=None):
    store_of(repo).materialize(moment(start), moment(end), feature_views=views, version=version)


def materialize_incremental(repo, end, views, version=None):
    store_of(repo).materialize_incremental(moment(end), feature_views=views, version=version)


def dump(repo):
    """What the online store keeps of the project: {row: content}, without the name of the project."""
    store = store_of(repo)
    project = store.project.encode()
    rows = {}
    if store.config.online_store.type == "sqlite":
        db = sqlite3.connect(store.config.repo_path / "data" / "online.db")
        tables = [t for (t,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns = [c[1] for c in db.execute(f'PRAGMA table_info("{table}")')]
            for row in db.execute(f'SELECT * FROM "{table}"'):
                row = dict(zip(columns, row))
                rows[f"{table} {row.pop('entity_key').hex()} {row.pop('feature_name')}"] = repr(row)
        db.close()
    else:
        client = store._get_provider().online_store._get_client(store.config.online_store)
        for key in client.scan_iter(match=b"*" + project):
            for field, value in client.hgetall(key).items():
                rows[f"{key.removesuffix(project).hex()} {field.hex()}"] = repr(value)
    return rows


def teardown(repo):
    store_of(repo).teardown()
    del stores[repo]


def token(auth):
    """The token of a client whose auth section this is."""
    from feast.permissions.auth_model import OidcClientAuthConfig
    from feast.permissions.client.oidc_authentication_client_manager import OidcAuthClientManager

    return OidcAuthClientManager(OidcClientAuthConfig(**auth)).get_token()


def user(auth, token):
    """Whose token that is, to a server whose auth section this is: the name, roles and groups."""
    from feast.permissions.auth.oidc_token_parser import OidcTokenParser
    from feast.permissions.auth_model import OidcAuthConfig

    user = asyncio.run(OidcTokenParser(OidcAuthConfig(**auth)).user_details_from_access_token(token))
    return [user.username, user.roles, user.groups]


def timed(repo, call, args):
    """Makes a call: how long it takes, and how much processor time, in seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    CALLS[call](repo, **args)
    return [time.perf_counter() - wall, time.process_time() - cpu]


CALLS = {
    f.__name__: f
    for f in [
        environment, open_repo, close, apply, apply_entities, apply_objects, apply_datasets, plan, objects, versions, delete, get, names,
        remove, apply_project, apply_entity, online, push, write, put, parquet, write_offline, precompute, history, materialize, materialize_incremental, dump, teardown,
        token, user, timed,
    ]
}


def serve():
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # Feast prints: let it go where errors go
    for line in sys.stdin:
        call = json.loads(line)
        try:
            answer = {"result": CALLS[call["call"]](**call["args"])}
        except Exception as e:
            traceback.print_exc()
            answer = {"error": {"class": type(e).__name__, "message": str(e)}}
        answers.write(json.dumps(answer) + "\n")


def bench():
    """Prints what the benchmarks of the root package measure here (BenchmarkApply, BenchmarkPush), with the same objects and rows."""
    from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
    from feast.types import Float32, Float64, Int64, String

    def repository():
        repo = tempfile.mkdtemp()
        Path(repo, "feature_store.yaml").write_text(
            "project: demo\nprovider: local\nregistry: registry.db\n"
            "online_store: {type: sqlite, path: online.db}\nentity_key_serialization_version: 3\n"
        )
        return FeatureStore(repo_path=repo)

    def timed(what, f, times=3):
        took = []
        for _ in range(times):
            wall, cpu = time.perf_counter(), time.process_time()
            f()
            took.append((time.perf_counter() - wall, time.process_time() - cpu))
        wall, cpu = sorted(took)[times // 2]
        print(f"{what}: {wall:.4f} s, {cpu:.4f} s of processor time", flush=True)

    def objects(tag):
        """1,000: 480 views of 50 features, each with a source of its own, and 20 entities and 20 services."""
        entities = [Entity(name=f"entity_{i}", join_keys=[f"entity_{i}_id"], value_type=ValueType.INT64) for i in range(20)]
        fields = [Field(name=f"feature_{i}", dtype=Float32) for i in range(50)]
        views = [
            FeatureView(
                name=f"view_{i}", entities=[entities[0]], ttl=timedelta(days=1), tags={"team": tag}, online=True,
                schema=[Field(name="entity_0_id", dtype=Int64), *fields],
                source=FileSource(name=f"source_{i}", path=f"data/source_{i}.parquet", timestamp_field="event_timestamp"),
            )
            for i in range(480)
        ]
        services = [FeatureService(name=f"service_{i}", features=[views[i]]) for i in range(20)]
        return [*entities, *views, *[v.batch_source for v in views], *services]

    for online in (False, True):
        where = ", with 480 tables in SQLite" if online else ""
        store = repository()
        if not online:
            store._get_provider().update_infra = lambda *args, **kwargs: None
        was = objects("core")
        timed(f"apply, all new{where}", lambda: store.apply(was), times=1)
        timed(f"apply, none changes{where}", lambda: store.apply(was))
        timed(f"apply, a tag of every view changes{where}", lambda: store.apply(objects("growth")), times=1)

    store = repository()
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    types = {"float": Float64, "int": Int64, "text": String}
    fields = [Field(name=f"{kind}_{i}", dtype=t) for kind, t in types.items() for i in range(2 if kind == "text" else 4)]
    pushed = PushSource(name="pushed", batch_source=FileSource(name="file", path="data.parquet", timestamp_field="event_timestamp"))
    store.apply([driver, FeatureView(
        name="pushed_view", entities=[driver], source=pushed, schema=[Field(name="driver_id", dtype=Int64), *fields],
    )])
    for rows in (1, 100, 10_000):
        columns = {"float": [i / 7 for i in range(rows)], "int": [i << 20 for i in range(rows)], "text": [f"city-{i % 100}" for i in range(rows)]}
        df = pd.DataFrame({
            "driver_id": range(rows), **{f.name: columns[f.name.split("_")[0]] for f in fields}, "event_timestamp": datetime.now(timezone.utc),
        })
        store.push("pushed", df)  # the entities are in the file
        timed(f"push of {rows} rows", lambda: store.push("pushed", df), times=11 if rows < 10_000 else 3)


if __name__ == "__main__":
    bench() if sys.argv[1:] == ["bench"] else serve()
