"""Reads the repository of the benchmark with Feast and prints medians, in seconds, as JSON: feast.py REPOSITORY ENTITIES"""
import json, random, sys, time

from feast import FeatureStore

store, entities = FeatureStore(repo_path=sys.argv[1]), int(sys.argv[2])
out = []
for rows in (1, 10, 100, 1000):
    for features in (50, 250):
        service = store.get_feature_service(f"features_{features}")
        wall, cpu = [], []
        for turn in range(3 if rows * features > 10_000 else 9):
            ids = random.sample(range(entities), rows)
            ids = [i + entities if random.random() < 0.3 else i for i in ids]
            start, used = time.perf_counter(), time.process_time()
            answer = store.get_online_features(features=service, entity_rows=[{"entity": i} for i in ids])
            if turn:  # the first opens the store
                wall.append(time.perf_counter() - start)
                cpu.append(time.process_time() - used)
        out.append({"Rows": rows, "Features": features, "Wall": sorted(wall)[len(wall) // 2], "CPU": sorted(cpu)[len(cpu) // 2]})
print(json.dumps(out))
