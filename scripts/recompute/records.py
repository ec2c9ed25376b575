"""Reads the raw records of a run: JSON files, events.jsonl, and history.jsonl.zst trial by trial. Judges nothing."""

import functools
import io
import json
import shutil
import subprocess


class Unreadable(Exception):
    """A file that is missing, damaged, or not of this layout."""


def read_json(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path}: {error}") from error


def is_lone(result):
    """Whether the run was against one server of another make, which nobody stands in for."""
    return (result.get("target") or {}).get("nodes") == 1


def read_events(path):
    """The events of each trial, in the order of the file."""
    events = {}
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                event = json.loads(line)
                events.setdefault(event["trial"], []).append(event)
    except (OSError, ValueError, KeyError) as error:
        raise Unreadable(f"{path}: {error!r}") from error
    return events


# For what follows from the records of a trial alone, however often a claim is compared with it. Ledgers are large: few are kept.
once = functools.lru_cache(maxsize=4)


class Ledger:
    """The records of one trial. Times are microseconds after the fault, rounded down."""

    def __init__(self, header):
        self.header = header
        self.sends = []
        self.deliveries = []
        self.connections = []
        self.strays = []

    @once
    def measured(self):
        """The part of the clients whose times are measured; the others were only judged."""
        limit = self.header["measured"]
        part = Ledger(self.header)
        part.sends = [one for one in self.sends if one[1] < limit["producers"]]
        part.deliveries = [one for one in self.deliveries if one[1] < limit["consumers"]]
        part.connections = [one for one in self.connections if one[2] < limit[one[1] + "s"]]
        part.strays = [one for one in self.strays if one[1] < limit["consumers"]]
        return part


LAYOUT = {
    "s": ["kind", "producer", "sequence", "attempt", "connection", "intended_us", "invoke_us", "answer_us", "outcome", "confirm"],
    "d": ["kind", "consumer", "producer", "sequence", "attempt", "connection", "arrival_us", "acknowledged_us", "redelivered"],
    "c": ["kind", "client", "number", "connection", "server", "opened_us", "closed_us", "reason"],
    "x": ["kind", "consumer", "alien", "corrupt"],
}


def read_history(path, is_wanted=lambda header: True):
    """Yields a ledger for each trial whose header is wanted."""
    header, rows = None, []
    for line in lines(path):
        if line.startswith("{"):
            if header is not None:
                yield ledger_of(path, header, rows)
            record, rows = json.loads(line), []
            header = record if is_wanted(record) else None
        elif header is not None:
            rows.append(line)
    if header is not None:
        yield ledger_of(path, header, rows)


def ledger_of(path, header, rows):
    """Reads all rows at once: that is several times as fast as line by line."""
    for kind, columns in LAYOUT.items():
        if header.get(kind) != columns:
            raise Unreadable(f"{path}: columns of {kind!r} are {header.get(kind)}, this script knows {columns}")
    ledger = Ledger(header)
    by_kind = {"s": ledger.sends, "d": ledger.deliveries, "c": ledger.connections, "x": ledger.strays}
    try:
        for record in json.loads(f"[{','.join(rows)}]"):
            by_kind[record[0]].append(record)
    except (ValueError, KeyError, IndexError) as error:
        raise Unreadable(f"{path}: trial {header.get('trial')}: {error!r}") from error
    return ledger


def lines(path):
    """The lines of a file of zstd frames."""
    if not path.exists():
        raise Unreadable(f"{path}: it is not there; the history of a run is needed")
    if program := shutil.which("zstd"):
        process = subprocess.Popen([program, "-dc", str(path)], stdout=subprocess.PIPE)
        yield from io.TextIOWrapper(process.stdout, encoding="utf-8")
        if process.wait() != 0:
            raise Unreadable(f"{path}: zstd cannot read it")
        return
    try:
        import zstandard
    except ImportError as error:
        raise Unreadable(
            "no reader of zstd: install the program (apt-get install zstd) or the package (pip install zstandard)"
        ) from error
    with open(path, "rb") as file:
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        yield from io.TextIOWrapper(reader, encoding="utf-8")
