#!/usr/bin/env python3
"""Holds the alert FlowRateAnomaly against weeks of made-up traffic.

    anomaly.py [--seeds N] [--exporters N] [--without-promtool]

For each seed, exporters send 15 days of flow records: a daily curve with a quiet weekend, a level that differs from day to
day, noise that lasts for minutes, a slow trend, short bursts, and jobs of every night and every Sunday. The first 8 days
are what the rule learns from; in the other 7 it must not fire. Further exporters have the same traffic and one fault: a
flood or an outage. There it must fire within 15 minutes.

promtool evaluates the rules for the first seed; model.py, which has to give the same minutes, for all seeds. Prints false
alarms and the time that each fault took to be found. Exit code 1 if model and rules differ, if more than 5 % of the exporters
have a false alarm in their week, or if fewer than 95 % of the faults are found in time.
"""

import argparse
import math
import pathlib
import random
import re
import subprocess
import sys
import tempfile

import model

ROOT = pathlib.Path(__file__).resolve().parents[2]
DAY = 1440  # minutes
LEARNED = 8 * DAY
END = 15 * DAY
STEP = 2  # minutes between two samples and between two evaluations
FOUND_WITHIN = 15  # minutes
FALSE_ALLOWED = 0.05  # of the exporter weeks
FOUND_SHARE = 0.95  # of the faults
# A fault: name, day and minute of its begin, duration in minutes, factor on the records.
FAULTS = [
    ("flood-night", 9, 3 * 60, 60, 6.0),
    ("flood-peak", 11, 14 * 60, 60, 3.0),
    ("flood-weekend", 13, 11 * 60, 60, 4.0),
    ("outage-night", 8, 2 * 60, 60, 0.0),
    ("outage-peak", 10, 15 * 60, 60, 0.0),
    ("outage-half", 11, 10 * 60, 60, 0.3),
]


def day_curve(minute, night):
    """1 at the peaks, `night` at 4 o'clock: a peak at 11 and a higher one at 20."""
    hour = minute / 60
    bump = lambda centre, width: sum(math.exp(-((hour - centre + shift) ** 2) / (2 * width * width)) for shift in (-24, 0, 24))
    return night + (1 - night) * min(1.0, 0.85 * bump(11, 3.0) + bump(19.5, 3.2))


def records(rng, fault):
    """Records/s in each minute; day 0 is a Monday."""
    base = math.exp(rng.uniform(math.log(50), math.log(5000)))
    night, weekend = rng.uniform(0.15, 0.4), rng.uniform(0.5, 0.95)
    trend = rng.uniform(-0.01, 0.015)
    noise_sd, noise_minutes = rng.uniform(0.03, 0.10), rng.uniform(5, 40)
    nightly, weekly = rng.randrange(60, 300), rng.randrange(60, 300)
    curve = [day_curve(minute, night) for minute in range(DAY)]
    levels = [math.exp(rng.gauss(0, 0.07)) for _ in range(16)]
    noise, keep, burst_left, burst = 0.0, math.exp(-1 / noise_minutes), 0, 1.0
    values = []
    for at in range(END):
        day, minute = divmod(at, DAY)
        share = minute / DAY
        level = (1 - share) * levels[day] + share * levels[day + 1]
        noise = keep * noise + math.sqrt(1 - keep * keep) * rng.gauss(0, noise_sd)
        if burst_left:
            burst_left -= 1
        elif rng.random() < 1 / (2 * DAY):  # every two days, for up to 5 minutes
            burst_left, burst = rng.randrange(1, 6), rng.uniform(1.5, 4)
        rate = base * curve[minute] * level * (1 + trend) ** (at / DAY) * math.exp(noise)
        rate *= weekend if day % 7 >= 5 else 1
        rate *= burst if burst_left else 1
        rate *= 1.6 if nightly <= minute < nightly + 30 else 1
        rate *= 3 if day % 7 == 6 and weekly <= minute < weekly + 45 else 1
        if fault and 0 <= at - (fault[1] * DAY + fault[2]) < fault[3]:
            rate *= fault[4]
        values.append(max(0.0, rng.gauss(rate, math.sqrt(rate / 60))))
    # What the recording rule makes of it: the rate of 5 minutes.
    return [sum(values[max(0, at - 4):at + 1]) / len(values[max(0, at - 4):at + 1]) for at in range(END)]


def ask(series, queries):
    """Answers of promtool, as {exporter: value} for each (query, minute): it prints what a query gave where another answer
    was expected."""
    lines = [f"rule_files: [{ROOT}/alerts/ruler/flows.yaml]", f"evaluation_interval: {STEP}m", "tests:", f"  - interval: {STEP}m"]
    lines.append("    input_series:")
    for exporter, values in series.items():
        lines.append(f"      - series: 'helios:flow_records:rate5m{{exporter=\"{exporter}\"}}'")
        lines.append("        values: '" + " ".join(f"{value:.1f}" for value in values[::STEP]) + "'")
        lines.append(f"      - {{series: 'helios:exporter_info{{exporter=\"{exporter}\",device=\"{exporter}\"}}', values: 1x{END // STEP}}}")
    lines.append("    promql_expr_test:")
    lines += [f"      - {{expr: '{query}', eval_time: {minute}m, exp_samples: []}}" for query, minute in queries]
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "anomaly.yaml"
        file.write_text("\n".join(lines) + "\n")
        output = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True)
    text = output.stdout + output.stderr
    if "FAILED" not in text and "SUCCESS" not in text:
        sys.exit(f"anomaly: promtool says:\n{text[-2000:]}")
    answers = [{} for _ in queries]
    for query, got in re.findall(r'expr: "(.*)", time: .*\n.*\n\s*got: (.*)', text):
        at = [question.replace('"', r'\"') for question, _ in queries].index(query)
        answers[at] = {exporter: float(value) for exporter, value in re.findall(r'exporter="([^"]+)"[^}]*\} ([^, ]+)', got)}
    return answers


ALERT = 'ALERTS{alertname="FlowRateAnomaly",alertstate="firing"}'


def by_promtool(series):
    """Minutes of alarms of each exporter, and until each fault was found."""
    queries = [(f"{STEP} * count_over_time({ALERT}[{END}m])", END - STEP)]
    for name, day, minute, duration, _ in FAULTS:
        end = day * DAY + minute + duration + FOUND_WITHIN
        ours = ALERT.replace("}", f',exporter=~"{name}"}}')
        queries.append((f"min_over_time(timestamp({ours})[{duration + FOUND_WITHIN}m:{STEP}m])", end))
    alarms, *firsts = ask(series, queries)
    found = {fault[0]: first.get(fault[0], math.inf) / 60 - fault[1] * DAY - fault[2] for fault, first in zip(FAULTS, firsts)}
    return alarms, found


def by_model(series):
    """The same; and the exporters that raised an alarm without a fault or at other times."""
    alarms, found, false = {}, {}, set()
    faults = {fault[0]: fault for fault in FAULTS}
    for name, values in series.items():
        minutes = model.firing([round(value, 1) for value in values[::STEP]], STEP)
        if minutes:
            alarms[name] = float(len(minutes) * STEP)
        during = []
        if name in faults:
            _, day, minute, duration, _ = faults[name]
            begin = day * DAY + minute
            during = [at - begin for at in minutes if 0 <= at - begin < duration + FOUND_WITHIN]
            found[name] = during[0] if during else math.inf
        if len(during) < len(minutes):
            false.add(name)
    return alarms, found, false


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--exporters", type=int, default=10, help="exporters without a fault, for each seed")
    parser.add_argument("--without-promtool", action="store_true", help="only the model: a minute")
    arguments = parser.parse_args()
    n_false, delays, wrong = 0, [], []
    for seed in range(arguments.seeds):
        rng = random.Random(seed)
        series = {f"normal-{at}": records(rng, None) for at in range(arguments.exporters)}
        series |= {fault[0]: records(rng, fault) for fault in FAULTS}
        alarms, found, false = by_model(series)
        n_false += len(false)
        delays += found.values()
        print(f"seed {seed}: false alarms: {({name: alarms[name] for name in sorted(false)}) or 'none'}; minutes until found: {found}", flush=True)
        if seed == 0 and not arguments.without_promtool and (rules := by_promtool(series)) != (alarms, found):
            wrong.append(f"promtool and the model differ: {rules} {(alarms, found)}")
    weeks = arguments.seeds * (arguments.exporters + len(FAULTS))
    late = sum(delay > FOUND_WITHIN for delay in delays)
    print(f"exporters with false alarms: {n_false} in {weeks} exporter weeks ({100 * n_false / weeks:.1f} %)")
    print(f"faults found within {FOUND_WITHIN} minutes: {len(delays) - late} of {len(delays)}")
    if n_false > weeks * FALSE_ALLOWED:
        wrong.append("too many false alarms")
    if late > len(delays) * (1 - FOUND_SHARE):
        wrong.append("too many faults found late")
    if wrong:
        sys.exit("anomaly: " + "; ".join(wrong))


if __name__ == "__main__":
    main()
