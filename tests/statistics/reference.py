#!/usr/bin/env python3
"""Makes reference.csv: p values and intervals computed by scipy and by definition, on chosen numbers.

    pip install scipy && python3 tests/statistics/reference.py > tests/statistics/reference.csv

Columns: test; samples a; samples b; the expected numbers. Samples and numbers are separated by spaces.
  mwu       scipy.stats.mannwhitneyu two-sided: U of a, p. Without ties up to 50 values: method="exact";
            with ties up to 25: exact, by scipy.stats.permutation_test or (from 7 values on) by counting
            with Python's integers; above: method="asymptotic".
  median    golang.org/x/perf's median interval at confidence b, as go-moremath's QuantileCI defines it,
            with the masses of scipy.stats.binom and scipy.stats.norm: low order, high order, confidence.
  holm      scipy has none; by the definition with exact fractions.
"""

import math
import random
from collections import Counter
from fractions import Fraction

import numpy as np
from scipy import stats

random.seed(20261122)


def put(test, a, b, *expected):
    join = lambda values: " ".join(repr(float(v)) for v in values)
    print(f"{test},{join(a)},{join(b)},{join(expected)}")


def counted(a, b):
    """Exact two-sided p with ties: twice the smaller tail over all ways to choose a, by integers."""
    values = sorted(a + b)
    first, rank = {}, {}
    for place, value in enumerate(values):
        first.setdefault(value, place)
    sizes = Counter(values)
    for value, size in sizes.items():
        rank[value] = 2 * first[value] + size + 1
    ways = {(0, 0): 1}
    for value, size in sizes.items():
        more = Counter()
        for (k, total), count in ways.items():
            for taken in range(min(size, len(a) - k) + 1):
                more[k + taken, total + taken * rank[value]] += count * math.comb(size, taken)
        ways = more
    observed = sum(rank[value] for value in a)
    sums = {total: count for (k, total), count in ways.items() if k == len(a)}
    low = sum(count for total, count in sums.items() if total <= observed)
    high = sum(count for total, count in sums.items() if total >= observed)
    return float(min(Fraction(1), Fraction(2 * min(low, high), sum(sums.values()))))


def mwu(a, b):
    ties = len(set(a + b)) < len(a) + len(b)
    larger = max(len(a), len(b))
    method = "exact" if not ties and larger <= 50 else "asymptotic"
    found = stats.mannwhitneyu(a, b, alternative="two-sided", method=method)
    p = found.pvalue
    if ties and larger <= 25:
        p = counted(a, b)
        if larger <= 6:
            statistic = lambda x, y, axis: stats.mannwhitneyu(x, y, axis=axis, method="asymptotic").statistic
            by_scipy = stats.permutation_test((a, b), statistic, vectorized=True, n_resamples=np.inf)
            assert abs(by_scipy.pvalue - p) < 1e-12, (a, b, p, by_scipy.pvalue)
    put("mwu", a, b, found.statistic, min(p, 1.0))


def median(n, confidence):
    """go-moremath, QuantileCI, with q = 1/2."""
    if n <= 30:
        mass = lambda k: stats.binom.pmf(k, n, 0.5)
        x = math.ceil((n + 1) * 0.5) - 1
        total, low, high = mass(x), x, x + 1
        while total < confidence and (mass(low - 1) > 0 or mass(high) > 0):
            if mass(low - 1) >= mass(high) * (1 - 1e-12):
                total, low = total + mass(low - 1), low - 1
            else:
                total, high = total + mass(high), high + 1
    else:
        mean, deviation = n / 2, math.sqrt(n) / 2
        left = stats.norm.ppf((1 - confidence) / 2, mean, deviation)
        right = 2 * mean - left
        low = math.floor(math.floor(left - 0.5) + 0.5) + 1
        high = math.floor(math.ceil(right - 0.5) + 0.5) + 1
        between = lambda l, r: stats.norm.cdf(r - 0.5, mean, deviation) - stats.norm.cdf(l - 0.5, mean, deviation)
        total, biased = between(low, high), between(low, high - 1)
        if confidence <= biased < total:
            total, high = biased, high - 1
        if low <= 0 and high >= n + 1:
            total = 1
    put("median", [n], [confidence], max(low, 0), min(high, n + 1), total)


def holm(p):
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted, largest = [None] * len(p), Fraction(0)
    for done, i in enumerate(order):
        largest = max(largest, min(Fraction(1), Fraction(p[i]) * (len(p) - done)))
        adjusted[i] = largest
    put("holm", p, [], *adjusted)


def main():
    draw = lambda n, scale: [round(random.gauss(100, 10), 6) * scale for _ in range(n)]
    whole = lambda n, high: [float(random.randint(1, high)) for _ in range(n)]
    for n, m in [(1, 1), (1, 9), (2, 3), (3, 3), (4, 4), (5, 5), (5, 8), (8, 8), (9, 10), (20, 20), (3, 50), (50, 50)]:
        for shift in (1.0, 1.02, 1.3):
            mwu(draw(n, 1.0), draw(m, shift))
    for n, m in [(2, 2), (3, 4), (5, 5), (6, 6), (6, 3), (7, 7), (9, 9), (12, 8), (20, 20), (25, 25), (25, 7)]:
        for high in (2, 5, 12):
            mwu(whole(n, high), whole(m, high + 1))
    for n, m in [(51, 51), (51, 3), (60, 200), (300, 300), (1000, 1000)]:
        for shift in (1.0, 1.01):
            mwu(draw(n, 1.0), draw(m, shift))
        mwu(whole(n, 9), whole(m, 9))
    mwu([float(i) for i in range(26)], [float(i) + 0.5 for i in range(26)])
    mwu([1.0] * 26 + [2.0], [2.0] * 26 + [1.0])
    for confidence in (0.5, 0.9, 0.95, 0.99):
        for n in list(range(1, 41)) + [50, 99, 100, 1000, 12345]:
            median(n, confidence)
    for n in (1, 2, 5, 17):
        holm([round(random.random() ** 3, 6) for _ in range(n)])


main()
