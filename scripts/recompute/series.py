"""The series of a trial, trial-*.csv, against the history: counts exactly, percentiles within the precision of a histogram."""

import csv
import math
from collections import defaultdict

import moments
from statistics_of import rank

BUCKET_US = 25_000
# Three significant digits, and microseconds that were rounded down twice.
RELATIVE, ABSOLUTE_MS = 0.002, 0.003


def check(found, folder, claimed, ledger):
    name = f"trial-{claimed['number']:02}-{claimed['scenario']}-{claimed['store']}.csv"
    path = folder / name
    if not path.exists():
        path = next(iter(sorted(folder.glob(f"trial-{claimed['number']:02}-*.csv"))), None)
    if path is None:
        found.wrong(name, "the series of a trial with a history", "no file")
        return
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    messages = moments.sent(ledger)
    offered, confirmed, delivered = (defaultdict(int) for _ in range(3))
    responses = defaultdict(list)
    for due, done in messages:
        offered[due // BUCKET_US] += 1
        if done is not None:
            confirmed[done // BUCKET_US] += 1
            responses[done // BUCKET_US].append(max(done - due, 0))
    for delivery in ledger.deliveries:
        delivered[delivery[6] // BUCKET_US] += 1
    waiting = 0
    places = [math.floor(float(row["begin_ms"]) * 1000 / BUCKET_US) for row in rows]
    for kind, counts in (("offered", offered), ("confirmed", confirmed), ("delivered", delivered)):
        computed = [counts.get(place, 0) for place in places]
        found.equal(f"{name}: {kind}", [int(row[kind]) for row in rows], computed)
        found.equal(f"{name}: {kind}, in all", sum(int(row[kind]) for row in rows), sum(counts.values()))
    for place, row in zip(places, rows):
        waiting += offered.get(place, 0) - confirmed.get(place, 0)
        found.equal(f"{name}: waiting at {row['begin_ms']}", int(row["waiting"]), waiting)
        values = sorted(responses.get(place, []))
        for column, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1)):
            text = row[f"response_{column}_ms"]
            computed = values[rank(len(values), share) - 1] / 1000 if values else None
            within = ABSOLUTE_MS + RELATIVE * (computed or 0)
            found.near(f"{name}: {column} at {row['begin_ms']}", float(text) if text else None, computed, within)
