"""The arithmetic of the alert FlowRateAnomaly (alerts/ruler/flows.yaml) in Python: thousands of times faster than the rules, so
that false alarms can be counted over many weeks. tools/alerts/anomaly.py holds it against promtool."""

import math
from collections import deque

DEVIATIONS = 2
SHARE = 0.5
FLOOR = 10.0  # records/s
FOR = 10  # minutes
DAYS = 7


def running(values, width, better):
    """The highest or lowest of the last `width` values, at each of them."""
    best, kept = [], deque()
    for at, value in enumerate(values):
        while kept and better(value, values[kept[-1]]):
            kept.pop()
        kept.append(at)
        if kept[0] <= at - width:
            kept.popleft()
        best.append(values[kept[0]])
    return best


def firing(values, step):
    """Minutes at which the alert fires about an exporter whose records/s are known every `step` minutes."""
    day, width, half = 1440 // step, 60 // step + 1, 30 // step
    sums, squares = [0.0], [0.0]
    for value in values:
        sums.append(sums[-1] + value)
        squares.append(squares[-1] + value * value)
    highest = running(values, width, lambda a, b: a >= b)
    lowest = running(values, width, lambda a, b: a <= b)
    since, minutes = None, []
    for at in range(DAYS * day - half, len(values)):
        means, variances = [], []
        for ago in range(1, DAYS + 1):
            end = at - (ago * day - half) + 1
            begin = max(0, end - width)
            mean = (sums[end] - sums[begin]) / (end - begin)
            means.append(mean)
            variances.append(max(0.0, (squares[end] - squares[begin]) / (end - begin) - mean * mean))
        baseline = sum(means) / DAYS
        variance = sum(variances) / DAYS + sum((mean - baseline) ** 2 for mean in means) / DAYS
        value, week = values[at], at - (DAYS * day - half)
        off = abs(value - baseline)
        unusual = (off > DEVIATIONS * math.sqrt(variance) and off > FLOOR and off > SHARE * baseline
                   and (value > (1 + SHARE) * highest[week] or value < (1 - SHARE) * lowest[week]))
        since = None if not unusual else at if since is None else since
        if since is not None and (at - since) * step >= FOR:
            minutes.append(at * step)
    return minutes
