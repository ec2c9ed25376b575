"""What the trials have in common: the rows of the summary, the ratios, and the verdict of the run, from the trials' own figures."""

import claims
from statistics_of import spread
from trial import expects_takeover

SEVERITY = ["pass", "skipped", "unknown", "violated"]
# Sums over trials: the row's name and what is added.
SUMS = {
    "confirmed": ["confirmed"], "lost": ["lost"], "duplicated": ["duplicated"], "unexpected": ["unexpected"],
    "duplicated_wrongly": ["redelivered_unflagged", "resurrected"],
}
SPREADS = [
    "failover_ms", "rto_ms", "store_recovery_ms", "detection_ms", "claim_ms", "reattach_ms", "left_after_ms", "successor_read_bytes",
]
# Floating point only: the same numbers go in.
EXACT = 1e-6


def check(found, result):
    for row in result["summary"]:
        of_row = [one for one in result["trials"] if belongs(one, row)]
        check_row(found, row, of_row)
    check_ratios(found, result)
    verdicts = [one["verdict"] for one in result["trials"] + result.get("stores", [])]
    found.equal("verdict of the run", result["verdict"], worst(verdicts))
    lost = any(one["store"] == "async" and one["messages"]["lost"] for one in result["trials"])
    found.equal("async_loss_seen", result["async_loss_seen"], lost)
    if result.get("stores"):
        found.omit("backlogs are filled and drained outside the history", "stores")


def worst(verdicts):
    """What was skipped counts only where everything was."""
    judged = [one for one in verdicts if one != "skipped"]
    return max(judged or verdicts, key=SEVERITY.index, default="unknown")


def belongs(one, row):
    asked = one.get("backlog")
    of_row = row.get("backlog")
    same = (asked is None) == (of_row is None) and (
        asked is None or all(asked[key] == of_row[key] for key in ("size_bytes", "standby"))
    )
    return same and all(one.get(key, {}) == row.get(key, {}) for key in ("scenario", "store", "settings"))


def check_row(found, row, of_row):
    name = f"summary of {row['scenario']} {row['store']}"
    found.equal(f"{name}: trials", row["trials"], len(of_row))
    found.equal(f"{name}: verdict", row["verdict"], worst([one["verdict"] for one in of_row]))
    for key, parts in SUMS.items():
        computed = sum(one["messages"][part] for one in of_row for part in parts)
        found.equal(f"{name}: {key}", row[key], computed)
    found.equal(f"{name}: lost_max", row["lost_max"], max((one["messages"]["lost"] for one in of_row), default=0))
    for key in SPREADS:
        check_spread(found, f"{name}: {key}", row[key], spread(values(key, of_row)))
    known = [*SUMS, *SPREADS, "trials", "lost_max", "backlog"]
    claims.unknown_numbers(found, name, row, known)


def values(key, of_row):
    """Of each trial that has the figure; None where only a lower bound is known."""
    if key in ("left_after_ms", "successor_read_bytes"):
        return [float(one[key]) for one in of_row if one.get(key) is not None]
    figure = key.removesuffix("_ms")
    censorable = {"failover": has_failover, "rto": lambda one: True}
    found = []
    for one in of_row:
        value = one["times_ms"][figure]
        applies = figure not in censorable or censorable[figure](one)
        is_censored = figure in censorable and one["censored_ms"] is not None
        if applies and (value is not None or is_censored):
            found.append(value)
    return found


def has_failover(one):
    """Whether there was a failover to be measured: one was expected, or one was seen where it is allowed."""
    return expects_takeover(one) or one.get("failover_measured", one["times_ms"]["failover"] is not None)


def check_spread(found, name, claimed, computed):
    for key in ("n", "censored"):
        found.equal(f"{name}.{key}", claimed[key], computed[key])
    for key in ("min", "median", "p90", "max"):
        found.near(f"{name}.{key}", claimed[key], computed[key], EXACT)
    if claimed["ci95"] is None or computed["ci95"] is None:
        found.equal(f"{name}.ci95", claimed["ci95"], computed["ci95"])
        return
    for place, pair in enumerate(zip(claimed["ci95"], computed["ci95"])):
        found.near(f"{name}.ci95[{place}]", *pair, EXACT)


def check_ratios(found, result):
    figures = {"failover": "failover_ms", "store recovery": "store_recovery_ms"}
    for ratio in result.get("ratios", []):
        rows = [
            row
            for row in result["summary"]
            if row["store"] == ratio["store"] and (row.get("backlog") or {}).get("standby") == ratio["standby"]
        ]
        by_size = {row["backlog"]["size_bytes"]: row[figures[ratio["what"]]]["median"] for row in rows}
        name = f"ratio of {ratio['what']}, {ratio['store']} {ratio['standby']}"
        sizes = [size for size, median in by_size.items() if median is not None]
        for end, size in (("largest", max(sizes)), ("smallest", min(sizes))):
            found.equal(f"{name}: {end} size", ratio[end][0], size)
            found.near(f"{name}: {end} median", ratio[end][1], by_size[size], EXACT)
        found.near(f"{name}", ratio["ratio"], by_size[max(sizes)] / by_size[min(sizes)], EXACT)
