"""The histograms of a trial, trial-*.hlog, against the history: response time of every message, within the precision of a histogram.

Decodes HdrHistogram's interval log (V2, compressed) as its specification tells: cookie, sizes, then counts as ZigZag LEB128, where a
negative one is a run of zeros."""

import base64
import struct
import zlib

import moments
from statistics_of import rank

COMPRESSED_V2, V2 = 0x1C849304, 0x1C849303
# Three significant digits, and times of the history that were rounded down twice.
RELATIVE, ABSOLUTE_MS = 0.0011, 0.0021


class Damaged(Exception):
    """No histogram of the form that this script knows."""


def decode(text):
    """The counts by value, in the unit of the log."""
    raw = base64.b64decode(text)
    cookie, length = struct.unpack(">II", raw[:8])
    if cookie & ~0xF0 != COMPRESSED_V2 & ~0xF0:
        raise Damaged(f"cookie {cookie:#x}")
    inner = zlib.decompress(raw[8 : 8 + length])
    cookie, payload_length, _, digits, lowest, _, _ = struct.unpack(">IIIIQQd", inner[:40])
    if cookie & ~0xF0 != V2 & ~0xF0:
        raise Damaged(f"inner cookie {cookie:#x}")
    return dict(values(counts(inner[40 : 40 + payload_length]), digits, lowest))


def counts(payload):
    """Index and count of what is not zero."""
    index = position = 0
    while position < len(payload):
        number = shift = 0
        for place in range(9):
            byte = payload[position]
            position += 1
            # The ninth byte holds eight bits.
            number |= (byte if place == 8 else byte & 0x7F) << shift
            shift += 7
            if place == 8 or not byte & 0x80:
                break
        signed = (number >> 1) ^ -(number & 1)
        if signed < 0:
            index -= signed
        else:
            if signed:
                yield index, signed
            index += 1


def values(indexed, digits, lowest):
    """Each count with the highest value that its bucket stands for."""
    largest_exact = 2 * 10**digits
    half_bits = (largest_exact - 1).bit_length() - 1
    half = 1 << half_bits
    unit = max(lowest.bit_length() - 1, 0)
    for index, count in indexed:
        bucket = (index >> half_bits) - 1
        sub = (index & (half - 1)) + half
        if bucket < 0:
            bucket, sub = 0, sub - half
        width = 1 << (bucket + unit)
        yield (sub << (bucket + unit)) + width - 1, count


def merged(path, name):
    """The sum of all intervals of one name, warm-up and fault included."""
    total = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith(f"Tag={name},") or line.startswith(f"Tag={name}."):
                for value, count in decode(line.rstrip("\n").split(",")[-1]).items():
                    total[value] = total.get(value, 0) + count
    return total


def check(found, folder, claimed, ledger):
    path = next(iter(sorted(folder.glob(f"trial-{claimed['number']:02}-*.hlog"))), None)
    name = f"trial {claimed['number']}: histogram of response times"
    if path is None:
        found.wrong(name, "a log", "no file")
        return
    try:
        histogram = sorted(merged(path, "response").items())
    except (Damaged, struct.error, zlib.error, ValueError, IndexError) as error:
        found.wrong(name, path.name, f"cannot be decoded: {error}")
        return
    exact = sorted(max(done - due, 0) / 1000 for due, done in moments.sent(ledger) if done is not None)
    recorded = sum(count for _, count in histogram)
    found.equal(f"{name}: messages", recorded, len(exact))
    for share in (0.5, 0.9, 0.99, 0.999, 1):
        wanted, below = rank(recorded, share), 0
        for value, count in histogram:
            below += count
            if below >= wanted:
                break
        computed = exact[rank(len(exact), share) - 1] if exact else 0
        found.near(f"{name}: {share:.1%}", value / 1e6, computed, ABSOLUTE_MS + RELATIVE * computed)
