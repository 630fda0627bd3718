#!/usr/bin/env python3
"""Makes benchstat.csv: what benchstat's own code says of numbers of many kinds (ties, tiny samples, zeros, extremes),
in the columns of reference.csv. Where scipy tests the same way, both must agree first. Left out, and told on stderr, is
where benchstat is not what it says: with ties it takes the lower tail for the upper one, which is another where the
distribution is not symmetric; of two equally good median intervals rounding picks one.

    pip install scipy && python3 tests/statistics/benchstat.py NUMBERS [CASES] [SEED] > tests/statistics/benchstat.csv

NUMBERS is benchstat.go, built as its first lines say.
"""

import math
import random
import subprocess
import sys
from collections import Counter

from scipy import stats

SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 20, 24, 25, 26, 27, 30, 31, 49, 50, 51, 52, 60, 100]
CONFIDENCES = (0.05, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999999)
KINDS = [
    lambda: round(random.gauss(100, 5), 4),
    lambda: float(random.randint(0, 3)),
    lambda: float(random.randint(0, 40)),
    lambda: random.choice([0.0, -0.0, 1e-300, 5e-324, 1e300]),
    lambda: random.lognormvariate(0, 20),
    lambda: 7.0,
    lambda: round(random.gauss(10, 1), 1),
    lambda: random.choice([1.0, 1.0 + 2**-52, 1.0 - 2**-53]),
]


def words(values):
    return " ".join(repr(float(value)) for value in values)


def ask(program, lines):
    asked = subprocess.run([program], input="".join(lines), capture_output=True, text=True, check=True)
    return asked.stdout.splitlines()


def samples():
    n, m = random.choice(SIZES), random.choice(SIZES)
    kind = random.choice(KINDS)
    other = kind if random.random() < 0.8 else random.choice(KINDS)
    shift = random.choice([0.0, 0.0, 1.0, 5.0]) if kind in (KINDS[0], KINDS[6]) else 0.0
    return [kind() for _ in range(n)], [other() + shift for _ in range(m)]


def by_scipy(a, b):
    """None where it tests in another way: few samples with ties."""
    ties, larger = len(set(a + b)) < len(a) + len(b), max(len(a), len(b))
    if len(set(a + b)) == 1:
        return 1.0
    if ties and larger <= 25:
        return None
    method = "exact" if not ties and larger <= 50 else "asymptotic"
    return min(1.0, stats.mannwhitneyu(a, b, method=method).pvalue)


def smaller_tail(a, b):
    """Exact two-sided p with ties: twice the smaller tail over all ways to choose a, by integers."""
    values = sorted(a + b)
    rank = {value: 2 * values.index(value) + values.count(value) + 1 for value in values}
    ways = {(0, 0): 1}
    for value, size in Counter(values).items():
        more = Counter()
        for (k, total), count in ways.items():
            for taken in range(min(size, len(a) - k) + 1):
                more[k + taken, total + taken * rank[value]] += count * math.comb(size, taken)
        ways = more
    observed = sum(rank[value] for value in a)
    sums = {total: count for (k, total), count in ways.items() if k == len(a)}
    low = sum(count for total, count in sums.items() if total <= observed)
    high = sum(count for total, count in sums.items() if total >= observed)
    return min(1.0, 2 * min(low, high) / sum(sums.values()))


def lower_first(n, confidence):
    """The bounds of up to 30 samples, the lower of two equal masses first."""
    mass = lambda k: math.comb(n, k) if 0 <= k <= n else 0
    low, total = math.ceil((n + 1) / 2) - 1, 0
    high, total = low + 1, mass(low)
    while total < confidence * 2**n and (mass(low - 1) or mass(high)):
        if mass(low - 1) >= mass(high):
            low, total = low - 1, total + mass(low - 1)
        else:
            high, total = high + 1, total + mass(high)
    return low, high


def main(program, cases=250, seed=1):
    random.seed(int(seed))
    pairs = [samples() for _ in range(int(cases))]
    answers = ask(program, [f"mwu,{words(a)},{words(b)}\n" for a, b in pairs])
    left_out = 0
    for (a, b), p in zip(pairs, map(float, answers)):
        scipys = by_scipy(a, b)
        if scipys is None and abs(smaller_tail(a, b) - p) > 1e-9 * max(p, 1e-3):
            left_out += 1
            continue
        assert scipys is None or abs(scipys - p) <= 1e-9 * max(p, 1e-3), (a, b, p, scipys)
        u = stats.mannwhitneyu(a, b, method="asymptotic").statistic
        print(f"mwu,{words(a)},{words(b)},{u} {p!r}")
    # Of the samples 1 to n the bounds are order statistics' numbers.
    asked = [(n, confidence) for n in [*range(1, 45), 50, 99, 333] for confidence in CONFIDENCES]
    answers = ask(program, [f"median,{words(range(1, n + 1))},{confidence}\n" for n, confidence in asked])
    for (n, confidence), answer in zip(asked, answers):
        low, high, reached = map(float, answer.split())
        if n <= 30 and lower_first(n, confidence) != (max(low, 0), min(high, n + 1)):
            left_out += 1
            continue
        print(f"median,{n},{confidence},{max(low, 0.0)} {min(high, n + 1.0)} {reached!r}")
    print(f"{left_out} left out", file=sys.stderr)


main(*sys.argv[1:])
