"""One trial: every number that result.json claims of it, against the history and the events."""

import claims
import messages
import moments

# Times of the history are whole microseconds, rounded down; a difference of two is off by one at most.
MICROSECOND_MS = 0.0011
STEP_MS = moments.STEP_US / 1000

# Numbers that the raw records do not hold, and why.
OMITTED = {
    "measured by the harness outside the records": [
        "generator_lag_p99_ms", "processor_share", "successor_read_bytes", "left_after_ms", "duration_ms",
    ],
    "part of the plan": ["number", "seed", "backlog"],
    "checked as the event lines of the fault": ["faults"],
}
CHECKED = [
    "messages", "instants_ms", "times_ms", "censored_ms", "store_recovered", "losses", "response_ms", "unavailable_ms",
]
DURATIONS = {
    "detection": ("zero", "td"), "claim": ("td", "tl"), "store_recovery": ("tl", "tr"), "reattach": ("ta", "tf"),
    "failover": ("zero", "tf"), "rto": ("zero", "ts"), "first_delivery": ("zero", "td1"), "clients_back": ("zero", "ta100"),
}


def name_of(claimed):
    return f"trial {claimed['number']}"


def is_known(found, claimed):
    for reason, names in OMITTED.items():
        found.omit(reason, *[name for name in names if claimed.get(name) not in (None, [], {})])
    known = CHECKED + [name for names in OMITTED.values() for name in names]
    claims.unknown_numbers(found, name_of(claimed), claimed, known)


def check_without_history(found, claimed):
    """A trial that was not carried out claims nothing."""
    is_known(found, claimed)
    name = name_of(claimed)
    found.equal(f"{name}: not carried out, so its verdict", claimed["verdict"] in ("unknown", "skipped"), True)
    found.equal(f"{name}: messages without a history", sum(claimed["messages"].values()), 0)
    for group in ("instants_ms", "times_ms"):
        found.equal(f"{name}: {group} without a history", any(claimed[group].values()), False)


def check(found, claimed, ledger, events, plan, is_lone=False):
    """`is_lone`: the run was against one server, which nobody stands in for."""
    is_known(found, claimed)
    check_messages(found, claimed, ledger, plan)
    check_times(found, claimed, ledger.measured(), events, plan, is_lone)


def planned(claimed, plan):
    """The plan of a trial; one that was played again has that of the trial in whose place it was played."""
    same = lambda one: all(one.get(key) == claimed.get(key) for key in ("scenario", "store", "settings"))
    by_number = [one for one in plan["trials"] if one["number"] == claimed["number"]]
    return (by_number or [one for one in plan["trials"] if same(one)] or [{}])[0]


def load_of(claimed, plan):
    return planned(claimed, plan).get("load") or plan["load"]


def is_allowed(claimed, plan):
    return planned(claimed, plan).get("takeover") == "allowed"


def check_messages(found, claimed, ledger, plan):
    name = name_of(claimed)
    drained = "not-drained" not in claimed["findings"]
    counted = messages.counts(ledger, drained)
    for key, value in claimed["messages"].items():
        found.equal(f"{name}: messages.{key}", value, counted.get(key, "not known to this script"))
    lost = messages.losses(ledger, load_of(claimed, plan)["size_bytes"]) if drained else []
    found.equal(f"{name}: losses, how many", len(claimed["losses"]), len(lost))
    for index, (one, computed) in enumerate(zip(claimed["losses"], lost)):
        for key, value in one.items():
            within = 1 if key == "span_us" else 0
            found.near(f"{name}: losses[{index}].{key}", value, computed.get(key), within)
    check_findings(found, claimed, counted, lost, planned(claimed, plan).get("expect", {}).get("findings", []))


def check_findings(found, claimed, counted, lost, demanded):
    """A finding that the messages show is named, and one that is named is shown by them. What a negative control demands is named
    only where it is absent."""
    name, is_sync = name_of(claimed), claimed["store"] == "sync"
    shown = {
        "lost": is_sync and counted["lost"] > 0,
        "loss-hole": not is_sync and any(not one["is_suffix"] for one in lost),
        "unflagged-redelivery": counted["redelivered_unflagged"] > 0,
        "resurrected": is_sync and counted["resurrected"] > 0,
        "out-of-order": counted["out_of_order"] > 0,
        "two-actives": counted["confirmed_by_two"] > 0,
    }
    for finding, is_shown in shown.items():
        if finding in demanded:
            found.equal(f"{name}: {finding}, which is demanded, or a violation", is_shown or claimed["verdict"] == "violated", True)
        else:
            found.equal(f"{name}: finding {finding}", finding in claimed["findings"], is_shown)
    unexpected = {"alien", "corrupt", "never-attempted", "ghost"} & set(claimed["findings"])
    found.equal(f"{name}: findings of unexpected deliveries", bool(unexpected), counted["unexpected"] > 0)
    broken = counted["unexpected"] > 0 or any(is_shown for finding, is_shown in shown.items() if finding not in demanded)
    if broken:
        found.equal(f"{name}: verdict, since promises were broken", claimed["verdict"], "violated")


def check_times(found, claimed, ledger, events, plan, is_lone):
    name = name_of(claimed)
    fault = moments.fault(events)
    effects = [one["effect"] is not None for one in claimed["faults"]]
    found.equal(f"{name}: fault_effective", claimed["fault_effective"], fault is not None and all(effects))
    list_of = moments.sent(ledger)
    instants, recovered = dict.fromkeys(["td", "tl", "tr", "ta", "tc", "tf", "td1", "ta100"]), None
    is_measured = expects_takeover(claimed)
    if fault is not None:
        requested_ns, effective_ns = fault
        found.equal(f"{name}: zero of the history", ledger.header["zero_ns"], effective_ns)
        node, _ = moments.successor_node(events, requested_ns)
        is_same = node is not None and node == moments.active_node(events, requested_ns)
        successor = moments.successor(ledger, (requested_ns - effective_ns) // 1000, is_same, is_lone)
        says_so = not is_lone and moments.became_active(events, effective_ns, node)
        found.equal(f"{name}: takeover", claimed["takeover"], not is_same and (successor.has_served or says_so))
        is_measured = is_measured or (is_allowed(claimed, plan) and moments.became_active(events, effective_ns))
        if is_measured:
            instants, recovered = moments.event_times(events, requested_ns, effective_ns)
            instants.update(moments.client_times(ledger, successor))
    if "failover_measured" in claimed:
        found.equal(f"{name}: failover_measured", claimed["failover_measured"], is_measured)
    from_us = round((instants["tf"] or 0) * 1000)
    ts_us = moments.steady(ledger, from_us, load_of(claimed, plan)["steady_ms"])
    instants["ts"] = None if ts_us is None else ts_us / 1000
    for key, value in claimed["instants_ms"].items():
        within = STEP_MS + MICROSECOND_MS if key == "ts" else MICROSECOND_MS
        found.near(f"{name}: instants_ms.{key}", value, instants.get(key), within)
    check_durations(found, claimed, instants)
    found.equal(f"{name}: store_recovered", claimed["store_recovered"], recovered)
    end_ms = max((due for due, _ in list_of), default=0) / 1000
    censored = instants["ts"] is None or (is_measured and instants["tf"] is None)
    found.near(f"{name}: censored_ms", claimed["censored_ms"], max(end_ms, 0) if censored else None, MICROSECOND_MS)
    check_responses(found, claimed, ledger)
    check_unavailable(found, claimed, ledger)


def expects_takeover(claimed):
    return claimed["takeover_expected"]


def check_durations(found, claimed, instants):
    at = {**instants, "zero": 0.0}
    for key, value in claimed["times_ms"].items():
        begin, end = DURATIONS[key]
        known = at[begin] is not None and at[end] is not None
        computed = at[end] - at[begin] if known else None
        if key == "detection" and computed is not None:
            computed = max(computed, 0.0)
        within = STEP_MS + MICROSECOND_MS if key == "rto" else 2 * MICROSECOND_MS
        found.near(f"{name_of(claimed)}: times_ms.{key}", value, computed, within)


def check_responses(found, claimed, ledger):
    """Where the flow became steady is known to a step; the claimed moment divides what came during and after."""
    name, steady_ms = name_of(claimed), claimed["instants_ms"]["ts"]
    parts = {"before": (-1_000_000, 0)}
    if steady_ms is None:
        found.omit("the end of an outage that did not end", "response_ms.during", "response_ms.after", "unavailable_ms")
    else:
        # A whole group of confirms may bear the very moment, which the records tell in microseconds: it came during or after, as claimed.
        cuts = [int(steady_ms * 1000 + 0.999), int(steady_ms * 1000)]
        claimed_n = claimed["response_ms"]["during"]["n"]
        cut = next((cut for cut in cuts if len(moments.responses(ledger, 0, cut)) == claimed_n), cuts[0])
        parts["during"] = (0, cut)
        parts["after"] = (cut, float("inf"))
    for part, (begin, end) in parts.items():
        computed = moments.percentiles(moments.responses(ledger, begin, end))
        for key, value in claimed["response_ms"][part].items():
            found.near(f"{name}: response_ms.{part}.{key}", value, computed[key], 0 if key == "n" else MICROSECOND_MS)


def check_unavailable(found, claimed, ledger):
    steady_ms = claimed["instants_ms"]["ts"]
    if steady_ms is None:
        return
    limit = ledger.header["measured"]
    computed = moments.unavailable(ledger, steady_ms * 1000)
    for key, value in claimed["unavailable_ms"].items():
        name = f"{name_of(claimed)}: unavailable_ms.{key}"
        if not isinstance(value, dict):
            found.near(name, value, computed.get(key), MICROSECOND_MS)
            continue
        for inner, one in value.items():
            # A union adds the rounding of each client up; which client is the worst one may hang on a microsecond.
            within = MICROSECOND_MS * (1 + 2 * (limit["producers"] + limit["consumers"]))
            if inner == "worst_client_number":
                found.near(f"{name}.{inner}", one, one if one in computed[key]["worst_candidates"] else computed[key][inner], 0)
            else:
                found.near(f"{name}.{inner}", one, computed[key].get(inner), within)
