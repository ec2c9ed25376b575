"""Compares claimed with recomputed values, and finds the numbers that nothing compared."""


class Comparison:
    """What agreed, what did not, and what could not be computed again, with the reason."""

    def __init__(self):
        self.agreed = 0
        self.disagreements = []
        self.not_recomputed = {}

    def wrong(self, name, claimed, computed):
        self.disagreements.append(f"{name}: claimed {claimed}, recomputed {computed}")

    def equal(self, name, claimed, computed):
        """The same, exactly."""
        if claimed == computed:
            self.agreed += 1
        else:
            self.wrong(name, claimed, computed)

    def near(self, name, claimed, computed, within):
        """Both absent, or no further apart than `within`."""
        if claimed is None or computed is None:
            self.equal(name, claimed, computed)
        elif abs(claimed - computed) <= within:
            self.agreed += 1
        else:
            self.wrong(name, claimed, f"{computed} (allowed difference {within})")

    def add(self, other):
        """Everything that another comparison found."""
        self.agreed += other.agreed
        self.disagreements += other.disagreements
        for reason, names in other.not_recomputed.items():
            self.omit(reason, *names)

    def omit(self, reason, *names):
        self.not_recomputed.setdefault(reason, set()).update(names)


def numbers(value, path=""):
    """The names of all numbers in a JSON value, lists included."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for inner in value:
            yield from numbers(inner, path)
    else:
        yield path


def unknown_numbers(found, where, value, known):
    """A number that this script does not know was not checked: that is a disagreement too."""
    for path in sorted(set(numbers(value))):
        if not any(path == one or path.startswith(one + ".") for one in known):
            found.wrong(f"{where}: {path}", "a figure", "nothing: this script does not know it")
