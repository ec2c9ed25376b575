"""Reads the raw records of a run: JSON files, events.jsonl, and history.jsonl.zst trial by trial. Judges nothing."""

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


class Ledger:
    """The records of one trial. Times are microseconds after the fault, rounded down."""

    def __init__(self, header):
        self.header = header
        self.sends = []
        self.deliveries = []
        self.connections = []
        self.strays = []

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


def read_history(path):
    """Yields a ledger for each trial."""
    ledger = None
    for line in lines(path):
        record = json.loads(line)
        if isinstance(record, dict):
            if ledger is not None:
                yield ledger
            for kind, columns in LAYOUT.items():
                if record.get(kind) != columns:
                    raise Unreadable(f"{path}: columns of {kind!r} are {record.get(kind)}, this script knows {columns}")
            ledger = Ledger(record)
            by_kind = {"s": ledger.sends, "d": ledger.deliveries, "c": ledger.connections, "x": ledger.strays}
        else:
            by_kind[record[0]].append(record)
    if ledger is not None:
        yield ledger


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
