"""What runbooks do with servers, all of them real: Alertmanager starts executions, ClickHouse keeps the audit, a mail server and scripts."""

import json
import os
import pathlib
import signal
import subprocess
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

import cluster
import runbook_rig
import runbook_smtp
from runbook_case import NAMESPACE, ROOT, Case, audit_table, runbook
from runbook_rig import DEVICE, wait_for

ENGINE = os.environ.get("HELIOS_ENGINE_PYTHON") or str(ROOT / ".cache/engine/bin/python")
DEVICE_PARAMETER = {"name": "device", "type": "string", "required": True}
DESCRIPTION = "/interfaces/interface[name=Ethernet1]/config/description"
ECHO = "registry.example/echo:1"


def fetch(url, body=None, method=None):
    request = urllib.request.Request(url, data=body if body is None or isinstance(body, bytes) else json.dumps(body).encode(), method=method,
                                     headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode()


class Servers(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.start_clickhouse()
        cls.start_mail()
        cls.rig.servers = {"clickhouse_url": cls.clickhouse_url, "clickhouse_database": "helios", "script_images": [ECHO]}
        cls.leader = cls.rig.leading("op-a")

    @classmethod
    def start_clickhouse(cls):
        port = cluster.free_ports(1)[0]
        cls.clickhouse_url = f"http://127.0.0.1:{port}"
        folder = pathlib.Path(cls.folder.name) / "clickhouse"
        env = {**os.environ, "PYTHONPATH": str(ROOT / "tools/clickhouse-http")}
        cls.clickhouse = cls.rig.spawn("clickhouse", [ENGINE, "-m", "clickhouse_http", "--path", folder, "--port", str(port)], env, cwd=cls.folder.name)
        wait_for("ClickHouse", lambda: cls.sql("SELECT 1") == "1")
        cls.sql("CREATE DATABASE helios")
        cls.sql(audit_table())

    @classmethod
    def sql(cls, text):
        try:
            return fetch(cls.clickhouse_url, text.encode()).strip()
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None
        except OSError:
            return None

    @classmethod
    def start_mail(cls):
        folder = pathlib.Path(cls.folder.name)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "mail.key", "-out", folder / "mail.pem", "-days", "2",
                        "-subj", "/CN=mail", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"], check=True, capture_output=True)
        cls.mail = runbook_smtp.Mail(folder / "mail.pem", folder / "mail.key", ("helios", "mail-password"))
        cls.addClassCleanup(cls.mail.close)
        notify = folder / "notify"
        notify.mkdir()
        (notify / "noc").write_text(json.dumps({
            "kind": "email", "server": cls.mail.address, "from": "helios@example.com", "to": ["noc@example.com"], "username": "helios",
            "password": "mail-password", "ca": (folder / "mail.pem").read_text()}))
        (notify / "wrong").write_text(json.dumps({**json.loads((notify / "noc").read_text()), "password": "wrong-password"}))

    def make_book(self, name, *steps, **spec):
        self.assertEqual(self.create(runbook(name, steps=list(steps), **{"parameters": [DEVICE_PARAMETER], **spec}), user="carol"), "")

    # Alertmanager.

    def alertmanager(self, operators):
        folder, port = pathlib.Path(self.folder.name), cluster.free_ports(1)[0]
        receivers = [{"url": operator.url + "/alerts", "send_resolved": True, "http_config": {"authorization": {"credentials_file": str(folder / "alert-token")}}}
                     for operator in operators]
        config = folder / "alertmanager.yml"
        # Sent again every second or so: what is tested is that a repeat starts nothing.
        config.write_text(json.dumps({
            "route": {"receiver": "runbooks", "group_by": ["alertname", "device"], "group_wait": "1s", "group_interval": "1s", "repeat_interval": "1s"},
            "receivers": [{"name": "runbooks", "webhook_configs": receivers}]}))
        url = f"http://127.0.0.1:{port}"
        process = self.rig.spawn("alertmanager", [cluster.program("alertmanager"), f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}",
                                                  "--cluster.listen-address=", f"--storage.path={folder}/alertmanager"])
        self.addCleanup(self.rig.kill, process)
        wait_for("Alertmanager", lambda: self.is_up(url + "/-/ready"))
        return url

    @staticmethod
    def is_up(url):
        try:
            return bool(fetch(url))
        except OSError:
            return False

    def sent(self, alertmanager):
        """Notifications that Alertmanager has sent, and those that failed."""
        page = fetch(alertmanager + "/metrics").splitlines()

        def total(name):
            return sum(float(line.split()[-1]) for line in page if line.startswith(name) and 'integration="webhook"' in line)
        return total("alertmanager_notifications_total{"), total("alertmanager_notification_requests_failed_total{")

    def of_book(self, name):
        return [item for item in self.rig.get("rbx")["items"] if item["spec"]["runbookRef"]["name"] == name]

    def test_alertmanager_starts_an_execution_once_that_a_person_has_to_agree_to(self):
        trigger = {"alertname": "InterfaceErrorRateHigh", "labels": {"severity": "critical"}, "parameters": {"device": "device"}}
        self.make_book("isolate", {"name": "mark", "type": "gnmi-set", "config": {"path": DESCRIPTION, "value": "isolated"}},
                       requiresApproval=True, riskLevel="high", triggers=[trigger])
        standby = self.rig.operator("op-b")
        # Both replicas get it, as behind a Service.
        alertmanager = self.alertmanager([self.leader, standby])
        labels = {"alertname": "InterfaceErrorRateHigh", "severity": "critical", "device": DEVICE, "interface": "Ethernet1"}
        begin = "2026-01-01T00:00:00Z"
        fetch(alertmanager + "/api/v2/alerts", [{"labels": labels, "startsAt": begin}, {"labels": {**labels, "severity": "warning"}, "startsAt": begin}])
        item, = wait_for("execution", lambda: self.of_book("isolate"))
        before, _ = self.sent(alertmanager)
        wait_for("repeats", lambda: self.sent(alertmanager)[0] >= before + 4)
        self.assertEqual(self.sent(alertmanager)[1], 0)
        self.assertEqual(len(self.of_book("isolate")), 1)
        name = item["metadata"]["name"]
        self.assertEqual(item["spec"]["parameters"], {"device": DEVICE})
        self.assertEqual(item["spec"]["requestedBy"], f"system:serviceaccount:{NAMESPACE}:helios-operator")
        old = self.rig.leaf(DESCRIPTION)
        with runbook_rig.Kubelet(self.rig):
            self.rig.reach(name, "AwaitingApproval")
            self.assertEqual(self.jobs_of(name), [])
            self.vote(name, "bob")
            self.assertEqual(self.closed(name)["phase"], "Succeeded")
        self.assertEqual(self.rig.leaf(DESCRIPTION), "isolated")
        # The alert ends, and comes again later: another execution.
        fetch(alertmanager + "/api/v2/alerts", [{"labels": labels, "startsAt": begin, "endsAt": "2026-01-01T01:00:00Z"}])
        fetch(alertmanager + "/api/v2/alerts", [{"labels": labels, "startsAt": "2026-01-02T00:00:00Z"}])
        again = wait_for("second execution", lambda: len(self.of_book("isolate")) == 2 and self.of_book("isolate"))
        other, = {item["metadata"]["name"] for item in again} - {name}
        self.rig.reach(other, "AwaitingApproval")
        self.vote(other, "bob", decision="reject")
        self.assertEqual(self.closed(other)["phase"], "Denied")
        self.rig.put(DESCRIPTION, old)
        self.rig.stop(standby)

    def test_an_alert_that_comes_while_the_api_server_is_away_starts_its_runbook_later_and_once(self):
        self.make_book("later", {"name": "wait", "type": "wait", "config": {"duration": "0s"}},
                       triggers=[{"alertname": "Later", "parameters": {"device": "device"}}])
        alertmanager = self.alertmanager([self.leader])
        self.cluster.kill("kube-apiserver")
        fetch(alertmanager + "/api/v2/alerts", [{"labels": {"alertname": "Later", "device": DEVICE}, "startsAt": "2026-01-01T00:00:00Z"}])
        wait_for("a notification that failed", lambda: self.sent(alertmanager)[1] > 0)
        self.cluster.restart("kube-apiserver")
        self.cluster.wait_for("the API server", lambda: self.api.request("GET", "/readyz") == "ok")
        # Without the API server the operator could not keep its Lease and ended; the kubelet starts it again, at the same address.
        with runbook_rig.Kubelet(self.rig):
            item, = wait_for("execution", lambda: self.of_book("later"))
            self.assertEqual(self.closed(item["metadata"]["name"])["phase"], "Succeeded")
        before, _ = self.sent(alertmanager)
        wait_for("repeats", lambda: self.sent(alertmanager)[0] >= before + 3)
        self.assertEqual(len(self.of_book("later")), 1)

    # ClickHouse.

    def verify(self, change=None):
        """`audit verify` of the table; `change` makes of its rows what somebody made of them."""
        rows = [json.loads(line) for line in self.sql("SELECT * FROM helios.runbook_audit FINAL ORDER BY uid, number FORMAT JSONEachRow").splitlines()]
        rows = change(rows) if change else rows
        executions = pathlib.Path(self.folder.name) / "executions.json"
        executions.write_text(json.dumps(self.rig.get("rbx")))
        return subprocess.run([runbook_rig.OPERATOR, "audit", "verify", "-", "--executions", executions], input="\n".join(map(json.dumps, rows)),
                              capture_output=True, text=True, check=False)

    def entries(self, name):
        return int(self.sql(f"SELECT count() FROM helios.runbook_audit FINAL WHERE execution = '{name}'"))

    def test_the_audit_in_clickhouse_is_whole_and_what_was_done_to_it_is_found(self):
        self.make_book("audited", {"name": "mark", "type": "gnmi-set", "config": {"path": DESCRIPTION, "value": "audited"}})
        old = self.rig.leaf(DESCRIPTION)
        with runbook_rig.Kubelet(self.rig):
            self.ask("audited", "audited", device=DEVICE)
            status = self.closed("audited")
            # ClickHouse is away: no step waits for it, and the entries come later.
            self.clickhouse.send_signal(signal.SIGSTOP)
            self.ask("unheard", "audited", device=DEVICE)
            self.closed("unheard")
            self.clickhouse.send_signal(signal.SIGCONT)
            # An executor waits for it at its end, and the operator tries again.
            wait_for("entries", lambda: self.entries("audited") == status["audit"]["count"])
            wait_for("late entries", lambda: self.entries("unheard") == self.rig.status("unheard")["audit"]["count"], 120)
        self.rig.put(DESCRIPTION, old)
        whole = self.verify()
        self.assertEqual(whole.returncode, 0, whole.stdout + whole.stderr)
        print("audit in ClickHouse:", whole.stdout.strip())

        def at(rows, number):
            return next(index for index, row in enumerate(rows) if row["execution"] == "audited" and row["number"] == number)

        def changed(rows):
            rows[at(rows, 4)]["message"] = "nothing happened"
            return rows

        def missing(rows):
            del rows[at(rows, 4)]
            return rows

        def cut(rows):
            return [row for row in rows if row["execution"] != "audited" or row["number"] < 5]

        def reordered(rows):
            one, other = at(rows, 4), at(rows, 5)
            rows[one]["number"], rows[other]["number"] = 5, 4
            return rows
        for change, words in ((changed, "entry 4: was changed"), (missing, "the entries from 4 on are missing"), (cut, "are missing"),
                              (reordered, "was changed")):
            done = self.verify(change)
            self.assertEqual(done.returncode, 1, change.__name__)
            self.assertIn(words, done.stdout + done.stderr, change.__name__)

    # E-mail and scripts.

    def test_an_e_mail_arrives_over_tls_and_its_password_nowhere(self):
        self.make_book("tell", {"name": "tell", "type": "notify", "config": {"channel": "noc", "text": "{{.device}} is drained\nsecond line"}})
        self.make_book("tell-wrong", {"name": "tell", "type": "notify", "config": {"channel": "wrong", "text": "x"}})
        with runbook_rig.Kubelet(self.rig):
            self.ask("tell", "tell", device=DEVICE)
            status = self.closed("tell")
            self.assertEqual(status["phase"], "Succeeded", status["message"])
            self.ask("tell-wrong", "tell-wrong", device=DEVICE)
            status = self.closed("tell-wrong")
        message, = self.mail.messages
        self.assertIn(f"Subject: [Helios] {DEVICE} is drained", message)
        self.assertIn(f"Runbook execution {NAMESPACE}/tell", message)
        self.assertEqual(status["phase"], "Failed")
        self.assertIn("535", status["message"])
        self.assertNotIn("wrong-password", json.dumps(status))

    def test_a_script_runs_once_with_its_parameters_and_no_token(self):
        log = pathlib.Path(self.folder.name) / "scripts.log"
        command = ["/bin/sh", "-c", f'echo "$NAME" >> {log}; printf \'{{"name": "%s"}}\' "$NAME" > "$TERMINATION_LOG"']
        undo = {"mode": "step", "type": "script", "config": {"image": ECHO, "command": ["/bin/sh", "-c", f"echo undone >> {log}"]}}
        # The device is there for its lock alone.
        step = {"name": "run", "type": "script", "config": {"device": "{{.device}}", "image": ECHO, "command": command, "env": {"NAME": "{{.text}}"}}, "rollback": undo}
        seen = {"name": "seen", "type": "wait", "when": "steps.run.output.name == params.text", "config": {"duration": "0s"}}
        fails = {"name": "fails", "type": "script", "config": {"image": ECHO, "command": ["/bin/sh", "-c", "exit 3"]}, "rollback": {"mode": "none"}}
        parameters = [DEVICE_PARAMETER, {"name": "text", "type": "string", "required": True}]
        self.make_book("script", step, seen, parameters=parameters)
        self.make_book("script-fails", step, fails, parameters=parameters)
        self.make_book("script-other", {**step, "config": {**step["config"], "image": "registry.example/other:1"}}, parameters=parameters)
        self.allow_scripts()
        with runbook_rig.Kubelet(self.rig):
            self.ask("script", "script", device=DEVICE, text="a b")
            status = self.closed("script")
            self.assertEqual(status["phase"], "Succeeded", status["message"])
            self.assertEqual([step["phase"] for step in status["steps"]], ["Succeeded"] * 2)
            self.assertEqual(log.read_text(), "a b\n")
            self.ask("script-fails", "script-fails", device=DEVICE, text="$(reboot); `x`")
            status = self.closed("script-fails")
            self.assertEqual(status["phase"], "RolledBack", status["message"])
            self.assertIn("ended with 1", status["message"])
            self.assertEqual(log.read_text(), "a b\n$(reboot); `x`\nundone\n")
            self.ask("script-other", "script-other", device=DEVICE, text="x")
            self.assertIn("scripts are off but for", self.closed("script-other")["message"])
        pods = [pod for pod in self.rig.get("pods", selector="app.kubernetes.io/name=helios-script")["items"]]
        self.assertEqual(len(pods), 4)
        for pod in pods:
            spec = pod["spec"]
            self.assertEqual((spec["automountServiceAccountToken"], spec["restartPolicy"], spec.get("volumes")), (False, "Never", None))

    def allow_scripts(self):
        """What the chart gives the executors where `script_images` names an image."""
        self.kubectl("create", "role", "scripts", "-n", NAMESPACE, "--verb=get,create", "--resource=jobs.batch")
        self.kubectl("create", "role", "script-pods", "-n", NAMESPACE, "--verb=list", "--resource=pods")
        for role in ("scripts", "script-pods"):
            self.kubectl("create", "rolebinding", role, "-n", NAMESPACE, f"--role={role}", f"--serviceaccount={NAMESPACE}:helios-executor")


if __name__ == "__main__":
    unittest.main()
