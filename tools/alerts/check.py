#!/usr/bin/env python3
"""Checks the alerts of alerts/: promtool accepts the rules and passes their tests; every alert has its page, its line in
docs/alerts.md, its annotations, a dashboard that exists, and a test that sees it fire, not fire before, and end.

    check.py

Needs promtool (Debian package prometheus).
"""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = sorted([*ROOT.glob("alerts/*.yaml"), *ROOT.glob("alerts/ruler/*.yaml")])
TESTS = sorted(ROOT.glob("alerts/tests/*.yaml"))
PAGES = ROOT / "docs/runbooks"
SAMPLES = sorted(ROOT.glob("runbooks/samples/*.yaml"))
ANNOTATIONS = ("summary", "description", "runbook_url", "dashboard")
SEVERITIES = ("critical", "warning", "info", "none")
# Whoever stands for one device says its name.
WITHOUT_DEVICE = re.compile(r"alerts/(flows|platform|clickhouse|targets|runbooks)\.yaml|ruler/sites\.yaml")


def alerts():
    """(name, file, text) of each alert. The files are written by hand in one form, which these expressions read."""
    for file in RULES:
        rules = re.split(r"^      - (?=alert:|record:)", file.read_text(), flags=re.M)[1:]
        for rule in rules:
            if name := re.match(r"alert: (\w+)", rule):
                yield name[1], file.relative_to(ROOT).as_posix(), rule


def field(rule, name):
    found = re.search(rf"^\s+{name}: (.+)$", rule, re.M)
    return found[1] if found else None


def problems_of(name, file, rule, tests, table, variables):
    labels = field(rule, "labels") or ""
    severity = re.search(r"severity: (\w+)", labels)
    duration = field(rule, "for") or "0m"
    if not severity or severity[1] not in SEVERITIES:
        yield f"its severity is none of {', '.join(SEVERITIES)}"
    for annotation in ANNOTATIONS:
        if not field(rule, annotation):
            yield f"it has no annotation {annotation}"
    if field(rule, "runbook_url") != f"docs/runbooks/{name}.md":
        yield "its runbook_url is not that of its page"
    uid, _, query = (field(rule, "dashboard") or "").strip('"').removeprefix("d/").partition("?")
    missing = {pair.split("=")[0] for pair in query.split("&") if pair} - {f"var-{variable}" for variable in variables.get(uid, ())}
    if uid not in variables or missing:
        yield f"its dashboard {uid} does not exist or has no {', '.join(sorted(missing)) or 'variables'}"
    if not WITHOUT_DEVICE.search(file) and name not in ("CollectorDown", "HeliosAbsent") and "$labels.device" not in (field(rule, "description") or ""):
        yield "its description does not name the device"
    page = PAGES / f"{name}.md"
    text = page.read_text() if page.exists() else ""
    if not text:
        yield f"docs/runbooks/{name}.md is missing"
    for sample in SAMPLES:
        if f"alertname: {name}\n" in sample.read_text() and f"samples/{sample.name})" not in text:
            yield f"its page has no link to {sample.relative_to(ROOT)}, which it starts"
    for link in re.findall(r"runbooks/samples/([^)]+)\)", text):
        if link not in [sample.name for sample in SAMPLES]:
            yield f"its page has a link to {link}, which is no sample runbook"
    if "sample runbook" in text and "runbooks/samples/" not in text:
        yield "its page speaks of a sample runbook without a link to it"
    line = re.search(rf"^\| \[{name}\]\(runbooks/{name}\.md\) \| (\w+) \| (\S+) \|", table, re.M)
    if not line or severity and (line[1], line[2]) != (severity[1], duration):
        yield f"docs/alerts.md has no line `| [{name}](runbooks/{name}.md) | {severity and severity[1]} | {duration} | ... |`"
    cases = [*re.finditer(rf"- \{{alertname: {name}, eval_time: [^,}}]+(.*)$|- alertname: {name}\n", tests, re.M)]
    quiet = [case.start() for case in cases if case[1] is not None and "exp_alerts" not in case[1]]
    fires = [case.start() for case in cases if case[1] is None or "exp_alerts" in case[1]]
    if not fires:
        yield "no test sees it fire"
    elif name != "Watchdog" and not (quiet and quiet[0] < fires[0] and quiet[-1] > fires[0]):
        yield "no test sees it quiet before it fires, and quiet again"


def dashboards():
    """The variables of each dashboard, by its uid."""
    found = {}
    for file in ROOT.glob("dashboards/*/*.json"):
        dashboard = json.loads(file.read_text())
        found[dashboard["uid"]] = {variable["name"] for variable in dashboard["templating"]["list"]}
    return found


def unknown_metrics():
    """Metrics of helios run that a rule reads and that do not exist."""
    exist = set(re.findall(r"^(?:# TYPE )?(helios_\w+)", (ROOT / "tests/data/metrics.txt").read_text(), re.M))
    for file in RULES:
        for name in set(re.findall(r"\b(helios_(?:collector|pipeline|sink|enricher|netbox)_\w+)", file.read_text())):
            if re.sub("_bucket$", "", name) not in exist:
                yield f"{file.relative_to(ROOT)}: {name} is no metric of helios run (tests/data/metrics.txt)"


def main():
    tests = "\n".join(file.read_text() for file in TESTS)
    table = (ROOT / "docs/alerts.md").read_text()
    problems, names, variables = [*unknown_metrics()], [], dashboards()
    for name, file, rule in alerts():
        names.append(name)
        problems += [f"{file}: {name}: {problem}" for problem in problems_of(name, file, rule, tests, table, variables)]
    for page in sorted(PAGES.glob("*.md")):
        if page.stem not in names:
            problems.append(f"{page.relative_to(ROOT)}: there is no such alert")
    for name in re.findall(r"^\| \[(\w+)\]\(runbooks/", table, re.M):
        if names.count(name) != 1:
            problems.append(f"docs/alerts.md: {name}: {names.count(name)} alerts of this name")
    if problems:
        sys.exit("\n".join(["alerts:", *problems]))
    subprocess.run(["promtool", "check", "rules", "--lint=all", "--lint-fatal", *map(str, RULES)], check=True, stdout=subprocess.DEVNULL)
    for file in TESTS:
        print(f"alerts: {file.relative_to(ROOT)}", flush=True)
        subprocess.run(["promtool", "test", "rules", str(file)], check=True, stdout=subprocess.DEVNULL)
    print(f"alerts: {len(names)} alerts in {len(RULES)} files pass")


if __name__ == "__main__":
    main()
