"""Runbooks on a real API server: definitions, rules and policies as it enforces them, and the operator's way with executions."""

import json
import pathlib
import re
import subprocess
import unittest

import cluster
import runbook_rig
from runbook_case import NAMESPACE, ROOT, Case, approval, execution, runbook

# As the project's description has them.
REFERENCE = (ROOT / "runbooks/tests/data/reference.yaml").read_text()


class Runbooks(Case):
    """The tests run one after the other: what the first ones leave, later ones go on with."""

    def test_1_the_examples_of_the_reference_apply_unchanged(self):
        book, run = REFERENCE.split("---")
        self.assertEqual(self.create(book, user="carol"), "")
        self.assertEqual(self.create(run, user="alice"), "")
        header, row = self.kubectl("get", "rbx", "-n", NAMESPACE).stdout.splitlines()
        self.assertEqual(header.split(), ["NAME", "PHASE", "RUNBOOK", "DEVICE", "BY", "DRY", "AGE"])
        self.assertIn("interface-bounce", row)

    def test_2_every_sample_is_valid(self):
        samples = sorted((ROOT / "runbooks/samples").glob("*.yaml"))
        self.assertEqual(len(samples), 10)
        for sample in samples:
            done = self.kubectl("create", "-n", NAMESPACE, "--validate=strict", "--dry-run=server", "-f", sample, check=False)
            self.assertTrue(done.returncode == 0 or "already exists" in done.stderr, f"{sample.name}: {done.stderr}")

    def test_3_a_runbook_that_makes_no_sense_is_refused_with_its_reason(self):
        wait = {"name": "wait", "type": "wait", "config": {}}
        for spec, why in [
            ({"steps": []}, "at least 1"),
            ({"steps": [wait, wait]}, "Duplicate"),
            ({"riskLevel": "high"}, "requiresApproval: true"),
            ({"riskLevel": "harmless"}, "riskLevel"),
            ({"timeout": "soon"}, "timeout"),
            ({"parameters": [{"name": "a", "type": "enum"}]}, "under enum"),
            ({"parameters": [{"name": "a-b", "type": "string"}]}, "parameters[0].name"),
            ({"stepps": []}, "stepps"),
        ]:
            self.assertIn(why, self.create(runbook("wrong", **spec), user="carol"), spec)

    def test_4_an_execution_can_be_cancelled_and_not_changed(self):
        self.assertEqual(self.create(execution("fixed", parameters={"device": "r1", "mtu": 9000}, requestedBy="alice"), user="alice"), "")
        for spec in ({"parameters": {"device": "r2"}}, {"runbookRef": {"name": "other"}}, {"dryRun": True}, {"requestedBy": None},
                     {"reason": "another"}):
            self.assertIn("cannot be changed", self.patch("fixed", {"spec": spec}), spec)
        self.assertEqual(self.patch("fixed", {"spec": {"cancel": True}}), "")
        self.assertIn("stays cancelled", self.patch("fixed", {"spec": {"cancel": False}}))
        self.assertIn("forbidden", self.patch("fixed", {"status": {"phase": "Succeeded"}}, subresource="status"))
        self.assertIn("65536", self.create(execution("large", parameters={"device": "x" * (1 << 20)}), user="alice"))
        self.assertIn("52 characters", self.create(execution("x" * 53), user="alice"))

    def test_5_who_asks_and_who_agrees_is_proven(self):
        self.assertIn("has to be the user who creates the object: alice", self.create(execution("lie", requestedBy="bob"), user="alice"))
        self.assertEqual(self.create(execution("asked", requestedBy="alice"), user="alice"), "")
        uid = self.kubectl("get", "rbx", "asked", "-n", NAMESPACE, "-o", "jsonpath={.metadata.uid}").stdout
        self.assertIn("has to be the user who creates the object: bob", self.create(approval("lie", uid, approver="carol"), user="bob"))
        self.assertIn("dave lacks the verb approve", self.create(approval("dave", uid, approver="dave"), user="dave"))
        # The person who asked has no right to agree.
        self.assertIn("forbidden", self.create(approval("own", uid, approver="alice"), user="alice").lower())
        self.assertEqual(self.create(approval("yes", uid, approver="bob"), user="bob"), "")
        change = self.kubectl("patch", "rba", "yes", "-n", NAMESPACE, "--type=merge", "-p", '{"spec":{"decision":"reject"}}', check=False)
        self.assertIn("a decision cannot be changed", change.stderr)

    def test_6_a_role_has_its_own_rights_alone(self):
        for user, item in [("alice", runbook("a")), ("bob", execution("b")), ("carol", execution("c")), ("bob", runbook("b"))]:
            self.assertIn("forbidden", self.create(item, user=user), f"{user} {item['kind']}")

    # The operator's way with executions. One after the other: the tests above have made the objects of the reference.

    def test_7_an_execution_runs_once_though_operators_die_and_the_runbook_goes(self):
        rig = self.rig
        first, second = rig.operator("op-a"), rig.operator("op-b")
        leads = lambda process: rig.metric(process, "helios_runbook_leader") == 1
        runbook_rig.wait_for("a leader", lambda: leads(first) or leads(second))
        self.assertFalse(leads(first) and leads(second))
        leader, other = (first, second) if leads(first) else (second, first)
        # What the tests above left: cancelled before anything was done, and without the parameters that the runbook demands.
        rig.reach("fixed", "Cancelled")
        self.assertIn("device", rig.reach("asked", "Denied")["message"])

        name = "bounce-eth1-router1"
        self.assertIn("waits for 2 approvals", rig.reach(name, "AwaitingApproval")["message"])
        self.assertEqual(self.agree(name, "bounce-bob", "bob"), "")
        runbook_rig.wait_for("vote", lambda: "1 more" in rig.status(name)["message"])
        self.assertEqual(self.agree(name, "bounce-erin", "erin"), "")
        status = rig.reach(name, "Running")
        uid = rig.get("rbx", name)["metadata"]["uid"]
        job = f"{name}-{uid[:8]}-r"
        self.assertEqual(status["executor"]["job"], job)
        spec = runbook_rig.wait_for("Job", lambda: [j for j in rig.get("jobs")["items"] if j["metadata"]["name"] == job])[0]["spec"]
        self.assertEqual((spec["backoffLimit"], spec["template"]["spec"]["restartPolicy"]), (0, "Never"))
        holders = [lease["spec"]["holderIdentity"] for lease in rig.get("leases")["items"] if lease["metadata"]["name"].startswith("helios-device-")]
        self.assertEqual(holders, [f"{name}/{uid}"])

        # The leader dies between two steps, and somebody deletes the runbook.
        executor = rig.execute(job)
        runbook_rig.wait_for("interface that is down", lambda: not rig.enabled())
        rig.kill(leader)
        self.kubectl("delete", "rb", "interface-bounce", "-n", NAMESPACE, user="carol")
        runbook_rig.wait_for("another leader", lambda: leads(other))
        rig.operator("op-c")
        self.assertEqual(executor.wait(runbook_rig.LIMIT_SECS), 0)
        rig.ended(job, succeeded=True)
        status = rig.reach(name, "Succeeded")
        self.assertTrue(rig.enabled())
        self.assertEqual([step["phase"] for step in status["steps"]], ["Succeeded"] * 3)
        # The same command once more does nothing.
        again = rig.execute(job)
        self.assertEqual(again.wait(runbook_rig.LIMIT_SECS), 1)
        self.assertTrue(rig.enabled())
        runbook_rig.wait_for("free device", lambda: not [
            lease for lease in rig.get("leases")["items"] if lease["metadata"]["name"].startswith("helios-device-")])
        runbook_rig.wait_for("closed execution", lambda: rig.status(name)["closed"])
        jobs = [j["metadata"]["name"] for j in rig.get("jobs")["items"]]
        self.assertEqual(jobs, [job])
        self.assertEqual(rig.metric(other, 'helios_runbook_executions_total{runbook="interface-bounce",phase="Succeeded"}'), 1)
        verified, entries = rig.audit()
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)
        started = [entry["step"] for entry in entries if entry["execution"] == name and entry["event"] == "step-started"]
        self.assertEqual(started, ["disable-interface", "wait", "enable-interface"])
        events = {event["reason"] for event in rig.get("events")["items"] if event["involvedObject"]["name"] == name}
        self.assertLessEqual({"AwaitingApproval", "Running", "Succeeded"}, events)
        type(self).leader = other

    def test_8_an_approval_of_ones_own_does_not_count(self):
        rig = self.rig
        book, _ = REFERENCE.split("---")
        self.assertEqual(self.create(book, user="carol"), "")
        wanted = {"device": runbook_rig.DEVICE, "interface": "Ethernet1"}
        self.assertEqual(self.create(execution("own", requestedBy="frank", parameters=wanted), user="frank"), "")
        rig.reach("own", "AwaitingApproval")
        self.assertEqual(self.agree("own", "own-frank", "frank"), "")
        self.assertEqual(self.agree("own", "own-bob", "bob"), "")
        job = rig.reach("own", "Running")["executor"]["job"]
        self.assertEqual(rig.execute(job).wait(runbook_rig.LIMIT_SECS), 0)
        rig.ended(job, succeeded=True)
        rig.reach("own", "Succeeded")
        _, entries = rig.audit()
        # The writer that comes next hands the entries of the one before out again.
        approved = {entry["by"] for entry in entries if entry["execution"] == "own" and entry["event"] == "approved"}
        self.assertEqual(approved, {"bob"})

    def test_9_what_a_dead_executor_left_is_undone(self):
        rig = self.rig
        wanted = {"device": runbook_rig.DEVICE, "interface": "Ethernet1"}
        self.assertEqual(self.create(execution("dies", requestedBy="alice", parameters=wanted), user="alice"), "")
        rig.reach("dies", "AwaitingApproval")
        self.assertEqual(self.agree("dies", "dies-bob", "bob"), "")
        job = rig.reach("dies", "Running")["executor"]["job"]
        executor = rig.execute(job)
        runbook_rig.wait_for("interface that is down", lambda: not rig.enabled())
        rig.kill(executor)
        rig.ended(job, succeeded=False)
        status = rig.reach("dies", "RollingBack")
        self.assertEqual(status["executor"]["job"], job[:-1] + "u")
        undo = rig.execute(status["executor"]["job"])
        undo.wait(runbook_rig.LIMIT_SECS)
        rig.ended(status["executor"]["job"], succeeded=False)
        rig.reach("dies", "RolledBack")
        self.assertTrue(rig.enabled())
        verified, _ = rig.audit()
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_9_z_an_execution_with_a_time_to_live_is_deleted_after_its_end(self):
        rig = self.rig
        self.assertEqual(self.create(execution("stays", requestedBy="alice"), user="alice"), "")
        self.assertEqual(self.create(execution("goes", requestedBy="alice", ttlSecondsAfterFinished=1), user="alice"), "")
        rig.reach("stays", "Denied")
        there = lambda: self.kubectl("get", "rbx", "-n", NAMESPACE, "-o", "name").stdout.split()
        runbook_rig.wait_for("deletion", lambda: "runbookexecution.helios.io/goes" not in there())
        self.assertIn("runbookexecution.helios.io/stays", there())
        verified, _ = rig.audit()
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_9a_an_alert_starts_its_runbook_once(self):
        rig = self.rig
        trigger = {"alertname": "LinkFlaps", "labels": {"severity": "critical"}, "parameters": {"device": "device"}}
        book = runbook("isolate", requiresApproval=True, triggers=[trigger],
                       parameters=[{"name": "device", "type": "string", "required": True}])
        self.assertEqual(self.create(book, user="carol"), "")
        labels = {"alertname": "LinkFlaps", "severity": "critical", "device": runbook_rig.DEVICE}
        firing = {"status": "firing", "labels": labels, "startsAt": "2026-01-01T00:00:00Z"}
        self.assertEqual(rig.alert(self.leader, "wrong", [firing])[0], 401)
        other = {**firing, "labels": {**labels, "severity": "warning"}}
        code, names = rig.alert(self.leader, "s3cret", [firing, other])
        self.assertEqual((code, len(names)), (200, 1))
        self.assertEqual(rig.alert(self.leader, "s3cret", [firing])[1], [])
        rig.reach(names[0], "AwaitingApproval")
        item = rig.get("rbx", names[0])
        self.assertEqual(item["spec"]["requestedBy"], f"system:serviceaccount:{NAMESPACE}:helios-operator")
        self.assertEqual(item["spec"]["parameters"], {"device": runbook_rig.DEVICE})

    def test_9b_the_commands_of_the_page_do_what_it_says(self):
        """Each section by the person that it is for, as the shell reads it."""
        rig, page = self.rig, Page((ROOT / "docs/runbooks.md").read_text())
        folder = pathlib.Path(self.folder.name) / "page"
        folder.mkdir()
        for name, program in (("kubectl", cluster.program("kubectl")), ("helios-operator", runbook_rig.OPERATOR)):
            (folder / name).symlink_to(program)
        (folder / "interface-bounce.yaml").write_text(page.blocks("Write one", "yaml")[0])
        self.kubectl("delete", "rb", "interface-bounce", "-n", NAMESPACE)

        def run(section, user):
            access = json.loads(self.cluster.kubeconfig.read_text())
            # The cluster's administrator is nobody else.
            access["users"][0]["user"].update({"as": user} if user else {})
            access["contexts"][0]["context"]["namespace"] = NAMESPACE
            config = folder / f"{user}.kubeconfig"
            config.write_text(json.dumps(access))
            env = {"PATH": f"{folder}:/usr/bin:/bin", "HOME": str(folder), "KUBECONFIG": str(config)}
            out = ""
            for block in page.blocks(section, "sh"):
                done = subprocess.run(["sh", "-e", "-c", block], cwd=folder, env=env, capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, 0, f"{section}: {block}\n{done.stderr}")
                out += done.stdout
            return out
        self.assertIn("3. enable (gnmi-set)", run("Write one", "carol"))
        with runbook_rig.Kubelet(rig):
            run("Run one", "alice")
            rig.reach("bounce-eth1", "AwaitingApproval")
            run("Approve", "bob")
            runbook_rig.wait_for("interface that is down", lambda: not rig.enabled())
            seen = run("Watch, and roll back", "alice")
            self.assertEqual(self.closed("bounce-eth1")["phase"], "Cancelled")
        self.assertIn("disable\tSucceeded", seen)
        self.assertTrue(rig.enabled())
        self.assertEqual(run("Who may do what", None).splitlines()[-2:], ["yes", "yes"])


class Page:
    """The code blocks of a page, by section and language."""

    def __init__(self, text):
        self.sections = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n?)*)", text, re.M))

    def blocks(self, section, language):
        return re.findall(rf"^```{language}\n(.*?)^```", self.sections[section], re.M | re.S)


if __name__ == "__main__":
    unittest.main()
