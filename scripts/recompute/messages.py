"""What became of each message: counts, causes of duplicates, order, losses by connection. Definitions: docs/RESULTS.md, Messages."""

from collections import defaultdict

from records import once


class Fate:
    __slots__ = ("outcomes", "arrivals")

    def __init__(self):
        self.outcomes = {}
        self.arrivals = []

    @property
    def confirmed(self):
        return "ok" in self.outcomes.values()

    @property
    def failed(self):
        return all(outcome == "fail" for outcome in self.outcomes.values())


@once
def fates(ledger):
    """By producer and sequence number; and the deliveries that no attempt explains."""
    known = defaultdict(Fate)
    for _, producer, sequence, attempt, *_rest, outcome, _confirm in ledger.sends:
        known[producer, sequence].outcomes[attempt] = outcome
    unexpected = sum(alien + corrupt for _, _, alien, corrupt in ledger.strays)
    for delivery in ledger.deliveries:
        _, _, producer, sequence, attempt, _, arrival, acknowledged, redelivered = delivery
        fate = known.get((producer, sequence))
        if fate is None or fate.outcomes.get(attempt, "fail") == "fail":
            unexpected += 1
        else:
            fate.arrivals.append((arrival, attempt, acknowledged, redelivered))
    return known, unexpected


@once
def counts(ledger, drained):
    known, unexpected = fates(ledger)
    values = list(known.values())
    total = dict.fromkeys(
        ["duplicated_by_resend", "redelivered_flagged", "redelivered_unflagged", "resurrected"], 0
    )
    for fate in values:
        if len(fate.arrivals) > 1:
            count_duplicates(total, sorted(fate.arrivals, key=lambda one: one[0]))
    total["duplicated"] = sum(total.values())
    total["attempted"] = len(values)
    total["confirmed"] = sum(fate.confirmed for fate in values)
    total["in_doubt"] = sum(not fate.confirmed and not fate.failed for fate in values)
    total["delivered"] = len(ledger.deliveries) + sum(alien + corrupt for _, _, alien, corrupt in ledger.strays)
    total["lost"] = sum(drained and fate.confirmed and not fate.arrivals for fate in values)
    total["recovered"] = sum(not fate.confirmed and bool(fate.arrivals) for fate in values)
    total["unexpected"] = unexpected
    total["out_of_order"] = out_of_order(ledger, known)
    total["confirmed_by_two"] = confirmed_by_two(ledger)
    return total


def count_duplicates(total, arrivals):
    for index, (arrival, attempt, _, redelivered) in enumerate(arrivals[1:], 1):
        same = [one for one in arrivals[:index] if one[1] == attempt]
        if not same:
            total["duplicated_by_resend"] += 1
        elif any(acknowledged is not None and acknowledged < arrival for _, _, acknowledged, _ in same):
            total["resurrected"] += 1
        elif redelivered:
            total["redelivered_flagged"] += 1
        else:
            total["redelivered_unflagged"] += 1


def out_of_order(ledger, known):
    """First deliveries, of messages confirmed at their first attempt, behind a later one of their producer. A queue that several
    consumers share has an order on each connection only."""
    addresses = ledger.header["consumers"]
    newest, found = {}, 0
    for _, consumer, producer, sequence, attempt, connection, arrival, _, redelivered in ledger.deliveries:
        fate = known.get((producer, sequence))
        if fate is None or attempt != 0 or redelivered or fate.outcomes.get(0) != "ok" or not fate.arrivals:
            continue
        if arrival != min(one[0] for one in fate.arrivals):
            continue
        is_shared = addresses.count(addresses[consumer]) > 1
        era = (consumer, producer, connection if is_shared else 0)
        highest = newest.setdefault(era, sequence)
        found += sequence < highest
        newest[era] = max(sequence, highest)
    return found


def confirmed_by_two(ledger):
    """Connections on which a server confirmed a send that was made after a newer server had confirmed."""
    tenures = {}
    for _, producer, _, _, connection, _, invoke, answer, outcome, _ in ledger.sends:
        if outcome == "ok":
            first, newest = tenures.get((producer, connection), (answer, invoke))
            tenures[producer, connection] = (min(first, answer), max(newest, invoke))
    opened = {(one[2], one[3]): (one[4], one[5]) for one in ledger.connections if one[1] == "producer"}
    rows = [(*opened[key], *value) for key, value in tenures.items() if key in opened]
    overlaps = lambda old: any(
        new[0] != old[0] and old[1] < new[2] < old[3] and old[1] < new[1] for new in rows
    )
    return sum(overlaps(old) for old in rows)


@once
def losses(ledger, size_bytes):
    """By producer and connection: what was confirmed and never came, in the order of confirms."""
    known, _ = fates(ledger)
    closed = {(one[2], one[3]): one[6] for one in ledger.connections if one[1] == "producer"}
    header = ledger.header
    consumers_of = lambda producer: header["consumers"].count(header["producers"][producer])
    confirms = defaultdict(list)
    for _, producer, sequence, _, connection, _, _, answer, outcome, confirm in ledger.sends:
        if outcome == "ok":
            confirms[producer, connection].append((confirm, answer, sequence))
    found = []
    for (producer, connection), rows in sorted(confirms.items()):
        rows.sort()
        lost, holes, span_us, survived = 0, 0, 0, False
        for _, answer, sequence in reversed(rows):
            arrivals = known[producer, sequence].arrivals
            if not arrivals:
                lost, holes, span_us = lost + 1, holes + survived, max(rows[-1][1] - answer, 0)
                continue
            end = closed.get((producer, connection))
            survived = survived or consumers_of(producer) == 1 or end is None or max(one[0] for one in arrivals) > end
        if lost:
            found.append(
                {"producer": producer, "messages": lost, "bytes": lost * size_bytes, "span_us": span_us, "is_suffix": holes == 0}
            )
    return found
