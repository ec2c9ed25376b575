"""Order statistics of small samples, in which None is a value beyond the limit of its trial."""

import math
from fractions import Fraction


def rank(n, share):
    """The 1-based nearest rank of a share."""
    return min(max(math.ceil(n * share), 1), max(n, 1))


def interval_rank(n):
    """The largest k so that the k-th smallest and the k-th largest enclose the median with at least 95 %; None below 6."""
    below, best = Fraction(0), None
    for k in range(1, n // 2 + 1):
        below += Fraction(math.comb(n, k - 1), 2**n)
        if 2 * below > Fraction(5, 100):
            break
        best = k
    return best


def spread(values):
    """As `spread` in docs/RESULTS.md."""
    n = len(values)
    if n == 0:
        return {"n": 0, "censored": 0, "min": None, "median": None, "p90": None, "max": None, "ci95": None}
    ordered = sorted(math.inf if value is None else value for value in values)
    known = lambda value: None if math.isinf(value) else value
    k = interval_rank(n)
    return {
        "n": n,
        "censored": sum(value is None for value in values),
        "min": known(ordered[0]),
        "median": known((ordered[(n - 1) // 2] + ordered[n // 2]) / 2),
        "p90": known(ordered[rank(n, 0.9) - 1]),
        "max": known(ordered[-1]),
        "ci95": None if k is None else [known(ordered[k - 1]), known(ordered[n - k])],
    }
