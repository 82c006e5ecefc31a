#!/usr/bin/env python3
"""Runs the real Alertmanager with deploy/alertmanager and reads what it sends: amtool's routing tests, then PagerDuty, Slack,
email (SMTP) and webhook bodies at receivers on loopback, with the keys of the mounted files, and the inhibitions.

    notify.py [--keep DIRECTORY]

Needs alertmanager and amtool (tools/components/install.sh alertmanager amtool). Only times, addresses and the directories of
files differ from deploy/alertmanager/alertmanager.yaml.
"""

import argparse
import base64
import datetime
import email
import email.policy
import http.server
import json
import pathlib
import re
import shutil
import socketserver
import subprocess
import sys
import tempfile
import threading
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from processes import component, free_port, wait_for  # noqa: E402

DEADLINE_S = 60
SECRETS = {"smtp-password": "mail-password", "pagerduty-routing-key": "R0UTINGKEY", "helios-operator-token": "operator-token"}

# Labels of an alert, and the receivers that hear of it.
ROUTES = [
    ("alertname=Watchdog severity=none", "watchdog"),
    ("alertname=DeviceInMaintenance severity=none device=edge-1", "nobody"),
    ("alertname=DeviceUnreachable severity=critical device=edge-1 site=Bern", "helios-operator,webhook,pagerduty,slack,email"),
    ("alertname=InterfaceErrorRateHigh severity=warning device=edge-1 role=Edge", "helios-operator,webhook,slack"),
    ("alertname=InterfaceDown severity=warning device=edge-1 role=Edge", "helios-operator,webhook,slack"),
    ("alertname=InterfaceDown severity=warning device=floor-3 role=access-switch", "nobody"),
    ("alertname=InterfaceErrorRateHigh severity=warning device=floor-3 role=Access", "helios-operator,webhook,slack"),
    ("alertname=DeviceUnreachable severity=critical device=floor-3 role=Access", "helios-operator,webhook,pagerduty,slack,email"),
    ("alertname=BgpSessionStateChange severity=info device=edge-1", "helios-operator,webhook,email"),
    ("alertname=RunbookRollbackFailed severity=critical runbook=bounce", "helios-operator,webhook,pagerduty,slack,email"),
]


class Received:
    """What the receivers on loopback got: (receiver, headers, body)."""

    def __init__(self):
        self.lock, self.messages = threading.Lock(), []

    def add(self, receiver, headers, body):
        with self.lock:
            self.messages.append((receiver, headers, body))

    def of(self, receiver):
        with self.lock:
            return [(headers, body) for name, headers, body in self.messages if name == receiver]


def http_receiver(received):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.add(self.path.strip("/"), dict(self.headers), body)
            self.send_response(202 if self.path == "/pagerduty" else 200)
            self.end_headers()
            self.wfile.write(b'{"status":"success","dedup_key":"x"}' if self.path == "/pagerduty" else b"ok")

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def smtp_receiver(received):
    """The part of SMTP (RFC 5321) that Alertmanager speaks, with AUTH PLAIN (RFC 4616)."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            headers = {}
            say = lambda text: self.wfile.write(text.encode() + b"\r\n")
            say("220 loopback")
            for line in self.rfile:
                verb, _, rest = line.decode().strip().partition(" ")
                if verb.upper() == "EHLO":
                    say("250-loopback\r\n250 AUTH PLAIN")
                elif verb.upper() == "AUTH":
                    headers["auth"] = base64.b64decode(rest.split()[1]).decode().split("\0")[1:]
                    say("235 ok")
                elif verb.upper() == "DATA":
                    say("354 go on")
                    text = b""
                    while (more := self.rfile.readline()) != b".\r\n":
                        text += more[1:] if more.startswith(b"..") else more
                    received.add("email", headers, email.message_from_bytes(text, policy=email.policy.default))
                    say("250 ok")
                elif verb.upper() == "QUIT":
                    say("221 bye")
                    return
                else:
                    headers[verb.upper()] = rest
                    say("250 ok")

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def configuration(folder, http_port, smtp_port):
    secrets = folder / "secrets"
    secrets.mkdir()
    base = f"http://127.0.0.1:{http_port}"
    for name, value in {**SECRETS, "slack-url": f"{base}/slack", "webhook-url": f"{base}/webhook", "watchdog-url": f"{base}/watchdog"}.items():
        (secrets / name).write_text(value + "\n")
    text = (ROOT / "deploy/alertmanager/alertmanager.yaml").read_text()
    for old, new in [("/etc/alertmanager/secrets", str(secrets)), ("/etc/alertmanager/templates", str(ROOT / "deploy/alertmanager")),
                     ("smtp.example.net:587", f"127.0.0.1:{smtp_port}"), ("smtp_require_tls: true", f"smtp_require_tls: false\n  pagerduty_url: {base}/pagerduty"),
                     ("http://helios-operator.helios-automation.svc:8080/alerts", f"{base}/operator")]:
        assert old in text, f"deploy/alertmanager/alertmanager.yaml no longer has {old}"
        text = text.replace(old, new)
    text = re.sub(r"group_wait: \w+", "group_wait: 1s", text)
    text = re.sub(r"group_interval: \w+", "group_interval: 1s", text)
    path = folder / "alertmanager.yaml"
    path.write_text(text)
    return path


def alert(name, severity, summary, description, dashboard, **labels):
    return {"labels": {"alertname": name, "severity": severity, **labels},
            "annotations": {"summary": summary, "description": description, "runbook_url": f"docs/runbooks/{name}.md", "dashboard": dashboard}}


# One device that is down, with what is on it; another with a fault of its own, whose name has what HTML and JSON escape.
DOWN = alert("DeviceUnreachable", "critical", "edge-1 does not answer", "edge-1 (site Bern) has not answered echo requests (ICMP) for 2 minutes.",
             "d/helios-latency-reachability?var-device=edge-1", device="edge-1", site="Bern", collector="icmp")
ON_IT = [
    alert("InterfaceDown", "warning", "edge-1 Ethernet1 is down", "x", "d/x", device="edge-1", site="Bern", interface="Ethernet1"),
    alert("BgpSessionDown", "warning", "edge-1: BGP session with 192.0.2.2 is down", "x", "d/x", device="edge-1", site="Bern", peer="192.0.2.2"),
    alert("ExporterSilent", "warning", "edge-1 has sent no flows for 13m 0s", "x", "d/x", device="edge-1", site="Bern", exporter="192.0.2.1"),
]
OTHER = alert("CpuHigh", "warning", 'edge "2" <b> uses 90% of its CPU', 'The CPU of edge "2" <b> (site Zug) has been above 80 % for 5 minutes.',
              "d/helios-device-health?var-device=edge+2", device='edge "2" <b>', site="Zug")
WATCHDOG = alert("Watchdog", "none", "Alerts arrive", "This alert fires always.", "d/helios-alerts-overview")
MAINTAINED = [
    alert("DeviceInMaintenance", "none", "edge-3 is in maintenance", "x", "d/x", device="edge-3", site="Zug"),
    alert("DeviceUnreachable", "critical", "edge-3 does not answer", "x", "d/x", device="edge-3", site="Zug"),
]
SITE = [
    alert("SiteUnreachable", "critical", "No device of site Chur answers", "x", "d/x", site="Chur", region="CH"),
    alert("DeviceUnreachable", "critical", "edge-4 does not answer", "x", "d/x", device="edge-4", site="Chur"),
    alert("SnmpScrapeFailing", "warning", "edge-5 does not answer SNMP", "x", "d/x", device="edge-5", site="Chur", collector="snmp"),
]


class Alertmanager:
    def __init__(self, folder, config):
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = folder / "alertmanager.log"
        command = [component("alertmanager"), f"--config.file={config}", f"--web.listen-address={self.url[7:]}",
                   "--cluster.listen-address=", f"--storage.path={folder}/data"]
        self.process = subprocess.Popen(command, stdout=self.log.open("wb"), stderr=subprocess.STDOUT)

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    def until(self, what, condition):
        def looked():
            if self.process.poll() is not None:
                sys.exit(f"notify: Alertmanager ended:\n{self.log.read_text()[-3000:]}")
            return condition()

        return wait_for(what, looked, DEADLINE_S, self.log)


def check(what, found, expected):
    if found != expected:
        sys.exit(f"notify: {what}:\n  found    {found!r}\n  expected {expected!r}")
    print(f"{what}: {found!r}"[:170])


def routes(config):
    for labels, receivers in ROUTES:
        command = [component("amtool"), "config", "routes", "test", f"--config.file={config}", f"--verify.receivers={receivers}", *labels.split()]
        output = subprocess.run(command, capture_output=True, text=True)
        if output.returncode:
            sys.exit(f"notify: {labels}: {output.stdout}{output.stderr}")
        print(f"route: {labels} -> {receivers}")


def bodies(received):
    """The contents of one message of each integration about DOWN and OTHER."""
    [pagerduty] = [body for _, body in received.of("pagerduty") if body["payload"]["component"] == "edge-1"]
    check("pagerduty: key, action", (pagerduty["routing_key"], pagerduty["event_action"]), (SECRETS["pagerduty-routing-key"], "trigger"))
    check("pagerduty: summary", pagerduty["payload"]["summary"], "[CRITICAL] edge-1 does not answer")
    check("pagerduty: severity, class, group", [pagerduty["payload"][key] for key in ("severity", "class", "group")], ["critical", "DeviceUnreachable", "Bern"])
    check("pagerduty: links", [link["href"] for link in pagerduty["links"]],
          ["http://localhost:3001/docs/runbooks/DeviceUnreachable.md", "http://localhost:3000/d/helios-latency-reachability?var-device=edge-1"])
    slack = [body for _, body in received.of("slack")]
    titles = sorted(body["attachments"][0]["title"] for body in slack)
    check("slack: titles", titles, ["[CRITICAL] edge-1 does not answer", '[WARNING] edge "2" <b> uses 90% of its CPU'])
    [cpu] = [body["attachments"][0] for body in slack if "CPU" in body["attachments"][0]["title"]]
    check("slack: color, link, button", (cpu["color"], cpu["title_link"], cpu["actions"][0]["url"]),
          ("warning", "http://localhost:3000/d/helios-device-health?var-device=edge+2", "http://localhost:3001/docs/runbooks/CpuHigh.md"))
    [(headers, mail)] = received.of("email")
    check("email: login", headers["auth"], ["helios@example.net", SECRETS["smtp-password"]])
    check("email: from, to, subject", (mail["From"], mail["To"], mail["Subject"]), ("helios@example.net", "network@example.net", "[CRITICAL] edge-1 does not answer"))
    text = mail.get_body(("plain",)).get_content()
    check("email: text has the description", DOWN["annotations"]["description"] in text, True)
    html = mail.get_body(("html",)).get_content()
    check("email: html has the runbook", 'href="http://localhost:3001/docs/runbooks/DeviceUnreachable.md"' in html, True)
    webhook = [body for _, body in received.of("webhook")]
    check("webhook: version, alerts", (webhook[0]["version"], sorted(a["labels"]["alertname"] for body in webhook for a in body["alerts"])),
          ("4", ["CpuHigh", "DeviceUnreachable"]))
    [cpu] = [a for body in webhook for a in body["alerts"] if a["labels"]["alertname"] == "CpuHigh"]
    check("webhook: labels are exact", cpu["labels"], OTHER["labels"])
    operator = received.of("operator")
    check("operator: token, one alert a message", ({headers["Authorization"] for headers, _ in operator}, {len(body["alerts"]) for _, body in operator}),
          ({f"Bearer {SECRETS['helios-operator-token']}"}, {1}))


def run(folder):
    received = Received()
    web, mail = http_receiver(received), smtp_receiver(received)
    config = configuration(folder, web.server_address[1], mail.server_address[1])
    routes(config)
    alertmanager = Alertmanager(folder, config)
    try:
        alertmanager.until("the start of Alertmanager", lambda: alertmanager.ask("/-/ready"))
        # What inhibits comes first, as it does where its `for` is shorter or equal.
        alertmanager.ask("/api/v2/alerts", [DOWN, OTHER, WATCHDOG, MAINTAINED[0], *ON_IT, MAINTAINED[1]])
        wanted = [("pagerduty", 1), ("slack", 2), ("email", 1), ("webhook", 2), ("operator", 2), ("watchdog", 1)]
        alertmanager.until("the notifications", lambda: all(len(received.of(name)) >= count for name, count in wanted))
        bodies(received)
        alertmanager.ask("/api/v2/alerts", SITE)
        alertmanager.until("the notification of the site", lambda: any(body["payload"]["group"] == "Chur" for _, body in received.of("pagerduty")))
        states = {(a["labels"]["alertname"], a["labels"].get("device")): a["status"]["state"] for a in json.loads(alertmanager.ask("/api/v2/alerts"))}
        silent = sorted(str(key) for key, state in states.items() if state == "suppressed")
        check("inhibited", silent, sorted(str((a["labels"]["alertname"], a["labels"]["device"])) for a in [*ON_IT, MAINTAINED[1], *SITE[1:]]))
        # The device is back: what is on it is no longer silent, and the end of its alert is told.
        ended = datetime.datetime.now(datetime.timezone.utc).isoformat()
        alertmanager.ask("/api/v2/alerts", [{**DOWN, "endsAt": ended}])
        alertmanager.until("the end of the alert at PagerDuty", lambda: any(body["event_action"] == "resolve" for _, body in received.of("pagerduty")))
        alertmanager.until("the notification of the interface", lambda: any("Ethernet1" in body["attachments"][0]["title"] for _, body in received.of("slack")))
        titles = lambda: [body["attachments"][0]["title"] for _, body in received.of("slack")]
        alertmanager.until("the end of the alert at Slack", lambda: "[RESOLVED] edge-1 does not answer" in titles())
        about = [a["labels"].get("device") for _, body in received.of("webhook") for a in body["alerts"]]
        check("nobody hears of a device in maintenance or of devices of a site that is away", {"edge-3", "edge-4", "edge-5"} & set(about), set())
    finally:
        alertmanager.process.terminate()
        alertmanager.process.wait(20)
        web.shutdown()
        mail.shutdown()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=pathlib.Path, help="directory for the log and the files, which stay there")
    arguments = parser.parse_args()
    folder = arguments.keep.resolve() if arguments.keep else pathlib.Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run(folder)
    finally:
        if not arguments.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
