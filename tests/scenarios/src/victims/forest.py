"""A random forest in the Predict API, fitted at the start on rows that a seed makes."""

import json

import numpy
from sklearn.ensemble import RandomForestClassifier

COLUMNS = 10

random = numpy.random.default_rng(1)
rows = random.normal(size=(600, COLUMNS))
forest = RandomForestClassifier(n_estimators=240, n_jobs=1, random_state=1)
forest.fit(rows, (rows[:, 0] + rows[:, 1] > 0).astype(int))


def application(environ, start_response):
    length = int(environ.get("CONTENT_LENGTH") or 0)
    instances = json.loads(environ["wsgi.input"].read(length))["payload"]["instances"]
    predictions = forest.predict(numpy.asarray(instances, dtype=float)).tolist()
    body = json.dumps({"payload": {"predictions": predictions}}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
