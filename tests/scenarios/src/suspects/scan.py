"""Groups, sorts and joins a table, again and again."""

import numpy
import pandas

random = numpy.random.default_rng(1)
table = pandas.DataFrame({"key": random.integers(0, 5_000, 200_000), "value": random.normal(size=200_000)})
while True:
    means = table.groupby("key")["value"].mean().rename("mean").reset_index()
    joined = table.merge(means, on="key")
    joined.assign(far=(joined["value"] - joined["mean"]).abs()).sort_values("far").tail(100)
