"""The moments of a failover and the response times, from what clients saw and from event lines. docs/RESULTS.md, Times.

All times are milliseconds after the fault unless a name says otherwise."""

from records import once
from statistics_of import rank

PHASES = {"td": "standby-notices", "tl": "claimed", "tr": "recovered", "ta": "accepting"}
STEP_US = 10_000


def fault(events):
    """The first fault that is no preparation: when it was asked for and when its effect was seen, ns; None without a proof."""
    of_harness = [one for one in events if one["node"] == "harness" and not one.get("preparation", False)]
    effective = next((one for one in of_harness if one["event"] == "fault-effective"), None)
    if effective is None:
        return None
    before = lambda one: one["t_ns"] <= effective["t_ns"] and one["fault"] == effective["fault"]
    requested = [one for one in of_harness if one["event"] == "fault-requested" and before(one)]
    return (requested[-1] if requested else effective)["t_ns"], effective["t_ns"]


def active_node(events, t_ns):
    """The node that was active at a time: the last one that said so."""
    is_state = lambda one: one["event"] == "ft_state" and one.get("to") == "ACTIVE" and one["t_ns"] <= t_ns
    said = [one["node"] for one in sorted(events, key=lambda one: one["t_ns"]) if is_state(one)]
    return said[-1] if said else None


class Successor:
    """The server that takes over: where clients were connected before the fault is the one that was active. Where they never were
    connected to another one, the address of that is not known, and nobody was served by it."""

    def __init__(self, ledger, requested_us, is_same_node, is_lone):
        before = [one for one in ledger.connections if one[5] <= requested_us]
        last = max(before, key=lambda one: one[5])[4] if before else None
        others = sorted({one[4] for one in ledger.connections} - {last})
        # A server that its supervisor starts again succeeds itself.
        self.url = last if is_same_node or is_lone else next(iter(others), None)
        served = [one for one in ledger.connections if self.url is not None and one[4] == self.url]
        identity = lambda one: (one[1], one[2], one[3])
        self.new = {identity(one) for one in served if one[5] > requested_us}
        self.has_served = any(one[5] >= 0 for one in served)
        # A lone server that was only stopped goes on with the connections that it had.
        self.used = {identity(one) for one in served} if is_lone and not self.has_served else self.new


@once
def successor(ledger, requested_us, is_same_node, is_lone):
    return Successor(ledger, requested_us, is_same_node, is_lone)


def became_active(events, t_ns, node=None):
    """Whether a node, or this one, said after a time that it is active."""
    is_state = lambda one: one["event"] == "ft_state" and one.get("to") == "ACTIVE" and one["t_ns"] >= t_ns
    return any(is_state(one) and node in (None, one["node"]) for one in events)


def successor_node(events, requested_ns):
    """The first node that becomes active after the fault, and which start of it; without one, the node that was not active when it
    came."""
    is_state = lambda one: one["event"] == "ft_state" and one.get("to") == "ACTIVE" and one["t_ns"] >= requested_ns
    if said := [one for one in events if is_state(one)]:
        first = min(said, key=lambda one: one["t_ns"])
        return first["node"], first["start"]
    before = active_node(events, requested_ns)
    return {"A": "B", "B": "A"}.get(before), None


def event_times(events, requested_ns, effective_ns):
    """td, tl, tr, ta and what was recovered, from the event lines of the process that takes over."""
    node, start = successor_node(events, requested_ns)
    is_process = lambda one: one["node"] == node and start in (None, one["start"])
    of_successor = [one for one in events if is_process(one) and one["t_ns"] >= requested_ns]
    moments, recovered = {}, None
    for name, event in PHASES.items():
        first = min((one for one in of_successor if one["event"] == event), key=lambda one: one["t_ns"], default=None)
        moments[name] = None if first is None else (first["t_ns"] - effective_ns) / 1e6
        if name == "tr" and first is not None:
            recovered = {key: first.get(key) or 0 for key in ("bytes", "messages", "segments")}
    return moments, recovered


@once
def client_times(ledger, successor):
    """tc, tf, td1, ta100."""
    clients = {}
    for _, kind, number, connection, server, opened, _, _ in ledger.connections:
        back = clients.setdefault((kind, number), None)
        if back is None and (kind, number, connection) in successor.new:
            clients[kind, number] = opened
    back = [opened for opened in clients.values() if opened is not None]
    first_after = {}
    confirm, arrivals = None, {}
    for _, producer, sequence, attempt, connection, _, invoke, answer, outcome, _ in ledger.sends:
        if attempt == 0 and invoke > 0:
            first_after.setdefault(producer, sequence)
    for _, producer, sequence, _, connection, _, _, answer, outcome, _ in ledger.sends:
        if outcome == "ok" and sequence >= first_after.get(producer, float("inf")):
            if ("producer", producer, connection) in successor.used:
                confirm = answer if confirm is None else min(confirm, answer)
    for _, consumer, _, _, _, connection, arrival, _, _ in ledger.deliveries:
        if arrival > 0 and ("consumer", consumer, connection) in successor.used:
            arrivals.setdefault(consumer, arrival)
    ms = lambda value: None if value is None else value / 1000
    return {
        "tc": ms(min(back, default=None)),
        "tf": ms(confirm),
        "td1": ms(min(arrivals.values(), default=None)),
        "ta100": ms(max(back)) if back and len(back) == len(clients) else None,
    }


@once
def sent(ledger):
    """Each message once: when it was intended, and its first confirm or None, us."""
    intended, confirmed = {}, {}
    for _, producer, sequence, attempt, _, due, _, answer, outcome, _ in ledger.sends:
        key = (producer, sequence)
        if attempt == 0 or key not in intended:
            intended[key] = due
        if outcome == "ok":
            confirmed[key] = min(answer, confirmed.get(key, answer))
    return [(due, confirmed.get(key)) for key, due in intended.items()]


def percentiles(values):
    """Of values in order of size, us."""
    n = len(values)
    at = lambda share: values[rank(n, share) - 1] / 1000 if n else 0
    return {"n": n, "p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "max": at(1)}


@once
def responses(ledger, from_us, to_us):
    """Response times of what was confirmed in the time from `from_us` to before `to_us`, us, in order of size."""
    in_time = (pair for pair in sent(ledger) if pair[1] is not None and from_us <= pair[1] < to_us)
    return sorted(max(done - due, 0) for due, done in in_time)


@once
def steady(ledger, from_us, length_ms):
    """The first moment from which the flow is steady, us; None if there is none before sending ended."""
    messages, baseline = sent(ledger), responses(ledger, -1_000_000, 0)
    p99 = baseline[rank(len(baseline), 0.99) - 1] if baseline else 0
    limit = max(2 * p99, 10_000)
    end = max((due for due, _ in messages), default=0)
    steps = max(end - from_us, 0) // STEP_US
    length = length_ms * 1000 // STEP_US
    offered, confirmed, slow = [0] * steps, [0] * steps, [0] * steps
    for due, done in messages:
        step = (due - from_us) // STEP_US
        if 0 <= step < steps:
            offered[step] += 1
        if done is not None and 0 <= (step := (done - from_us) // STEP_US) < steps:
            confirmed[step] += 1
            slow[step] += done - due > limit
    for start in range(max(steps + 1 - length, 0)):
        window = slice(start, start + length)
        all_confirmed = sum(confirmed[window])
        enough = all_confirmed > 0 and all_confirmed >= sum(offered[window]) * 0.95
        if enough and sum(slow[window]) <= all_confirmed * 0.01:
            return from_us + start * STEP_US
    return None


def largest_gap(times_us, from_us, to_us):
    """The largest distance between neighbours that overlaps the time, ms. The records round down: what came within the microsecond of
    `from_us` came after it."""
    times = sorted(times_us)
    gaps = [after - before for before, after in zip(times, times[1:]) if after >= from_us and before < to_us]
    return max(gaps) / 1000 if gaps else None


def windows(clients, from_us, to_us):
    """The windows of unavailability of clients, less their usual gaps: of the worst one, of any, of all. Milliseconds."""
    found = {}
    for number, times in enumerate(clients):
        times = sorted(times)
        pairs = list(zip(times, times[1:]))
        overlapping = [pair for pair in pairs if pair[1] >= from_us and pair[0] < to_us]
        if not overlapping:
            continue
        begin, end = max(overlapping, key=lambda pair: pair[1] - pair[0])
        usual = sorted(after - before for before, after in pairs if after < from_us)
        begin = min(begin + (usual[rank(len(usual), 0.99) - 1] if usual else 0), end)
        found[number] = (begin, end)
    lengths = {number: end - begin for number, (begin, end) in found.items()}
    longest = max(lengths.values(), default=None)
    union, until = None, None
    for begin, end in sorted(found.values()):
        until = begin if until is None else until
        union = (union or 0) + max(end - max(begin, until), 0)
        until = max(until, end)
    together = None
    if found and len(found) == len(clients):
        together = max(min(end for _, end in found.values()) - max(begin for begin, _ in found.values()), 0)
    ms = lambda value: None if value is None else value / 1000
    return {
        "worst_client": ms(longest),
        "worst_client_number": max((number for number in lengths if lengths[number] == longest), default=None),
        "worst_candidates": [number for number in lengths if longest - lengths[number] <= 3],
        "any_client": ms(union),
        "all_clients": ms(together),
        "clients_seen": len(found),
    }


@once
def unavailable(ledger, end):
    """The distances between confirms, and between deliveries, that overlap the time from the fault to `end`, us; ms."""
    limit = ledger.header["measured"]
    confirms, arrivals = [[] for _ in range(limit["producers"])], [[] for _ in range(limit["consumers"])]
    for _, producer, _, _, _, _, _, answer, outcome, _ in ledger.sends:
        if outcome == "ok":
            confirms[producer].append(answer)
    for delivery in ledger.deliveries:
        arrivals[delivery[1]].append(delivery[6])
    gaps = [largest_gap(times, 0, end) for times in confirms]
    return {
        "publish": largest_gap([one for times in confirms for one in times], 0, end),
        "publish_worst_client": max((gap for gap in gaps if gap is not None), default=None),
        "deliver": largest_gap([one for times in arrivals for one in times], 0, end),
        "producers": windows(confirms, 0, end),
        "consumers": windows(arrivals, 0, end),
    }
