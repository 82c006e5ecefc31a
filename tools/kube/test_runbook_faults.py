"""What goes wrong around a runbook, on a real API server with devices over TLS: killed processes, an API server that is away, devices
that do not answer, people who take things back. Each test says what the status says, what the device has and what the audit says."""

import concurrent.futures
import json
import threading
import time
import unittest

import runbook_rig
import runbook_wire
from runbook_case import NAMESPACE, Case, runbook
from runbook_rig import DEVICE, SECOND, wait_for

DESCRIPTION = "/interfaces/interface[name={}]/config/description"
ENABLED = "/interfaces/interface[name=Ethernet1]/config/enabled"
DEVICE_PARAMETER = {"name": "device", "type": "string", "required": True}


def write(name, path, value, **more):
    return {"name": name, "type": "gnmi-set", "config": {"path": path, "value": value, **more.pop("config", {})}, **more}


def wait(seconds):
    return {"name": "wait", "type": "wait", "config": {"duration": f"{seconds}s"}}


def book(name, *steps, **spec):
    return runbook(name, steps=list(steps), **{"parameters": [DEVICE_PARAMETER], **spec})


class Faults(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.deadly = runbook_wire.Deadly(cls.api)
        cls.addClassCleanup(cls.deadly.close)
        cls.leader = cls.rig.leading("op-a")
        # One second between two changes, for tests that do something in between.
        slow = book("slow", write("first", DESCRIPTION.format("Ethernet1"), "one"), wait(4), write("second", DESCRIPTION.format("Ethernet2"), "two"))
        quick = book("quick", write("first", DESCRIPTION.format("Ethernet1"), "one", timeout="2s"),
                     write("second", DESCRIPTION.format("Ethernet2"), "two", timeout="2s"))
        asked = book("asked", *quick["spec"]["steps"], requiresApproval=True)
        down = book("down", write("disable", ENABLED, False, timeout="3s"))
        for item in (slow, quick, asked, down):
            cls.create(item, user="carol")

    def setUp(self):
        self.before = self.descriptions()

    def tearDown(self):
        self.rig.wire.restore()
        self.rig.fault("slow-set", undo=True)

    def descriptions(self):
        return [self.rig.leaf(DESCRIPTION.format(name)) for name in ("Ethernet1", "Ethernet2")] + [self.rig.enabled()]

    def put_back(self):
        """What a success has changed."""
        for name, value in zip(("Ethernet1", "Ethernet2"), self.before):
            self.rig.put(DESCRIPTION.format(name), value)

    def runs(self, name, phase):
        """The execution has ended so, and everything around it is in order."""
        status = self.closed(name)
        self.assertEqual(status["phase"], phase, status["message"])
        verified, _ = self.rig.audit()
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)
        uid = self.rig.get("rbx", name)["metadata"]["uid"]
        self.assertEqual([lease for lease in self.rig.get("leases")["items"] if lease["spec"].get("holderIdentity") == f"{name}/{uid}"], [])
        return status

    # Killed processes.

    def test_an_operator_that_is_killed_before_and_after_each_of_its_writes_does_everything_once(self):
        leader, type(self).leader = self.leader, None
        self.rig.stop(leader)
        process = [self.rig.leading("op-crash", self.deadly.url)]
        number, ends = 0, []
        with runbook_rig.Kubelet(self.rig):
            while True:
                killed = []
                for when in ("before", "after"):
                    name = f"op-{number}-{when}"
                    self.deadly.arm(number, when, lambda: self.rig.kill(process[0]))
                    self.ask(name, "asked", device=DEVICE)

                    def advance():
                        # As a kubelet does: the same pod again.
                        if process[0].poll() is not None:
                            process[0] = self.rig.leading("op-crash", self.deadly.url)
                        status = self.rig.status(name)
                        if status.get("phase") == "AwaitingApproval" and not self.rig.votes(name):
                            self.vote(name, "bob")
                        return status.get("closed")
                    wait_for(f"end of {name}", advance)
                    killed.append(self.deadly.disarm())
                    self.runs(name, "Succeeded")
                    self.assertEqual(self.jobs_of(name), [self.rig.job(name, "r")])
                    self.assertEqual(self.events_of(name, "step-started"), ["first", "second"])
                    self.assertEqual(self.descriptions()[:2], ["one", "two"])
                    self.put_back()
                if not any(killed):
                    break
                ends.append(number)
                number += 1
        self.assertGreater(len(ends), 8, "finalizer, status, locks, Job, close")
        print(f"operator killed before and after each of {len(ends)} writes: every execution Succeeded once")
        self.rig.stop(process[0])
        type(self).leader = self.rig.leading("op-a")

    def test_an_executor_that_is_killed_before_and_after_each_of_its_writes_leaves_all_or_nothing(self):
        """Between a Set and its record is `before` the write of the outcome."""
        self.rig.executor_server = self.deadly.url
        self.addCleanup(setattr, self.rig, "executor_server", None)
        number, seen = 0, []
        with runbook_rig.Kubelet(self.rig) as kubelet:
            while True:
                killed = []
                for when in ("before", "after"):
                    name = f"ex-{number}-{when}"
                    self.deadly.arm(number, when, lambda: [process.kill() for _, process in kubelet.running.values()])
                    self.ask(name, "quick", device=DEVICE)
                    status = self.closed(name)
                    killed.append(self.deadly.disarm())
                    self.runs(name, status["phase"])
                    seen.append((number, when, status["phase"]))
                    if status["phase"] == "Succeeded":
                        self.assertEqual(self.descriptions()[:2], ["one", "two"])
                        self.put_back()
                    else:
                        self.assertIn(status["phase"], ("Failed", "RolledBack"), status["message"])
                        self.assertEqual(self.descriptions(), self.before, (name, status["message"]))
                    started = self.events_of(name, "step-started")
                    self.assertEqual(started, ["first", "second"][:len(started)], "no step begins twice")
                if not any(killed):
                    break
                number += 1
        self.assertEqual(number, 6, "claim, two for each step, end")
        print("executor killed:", ", ".join(f"{when} write {number}: {phase}" for number, when, phase in seen))

    def test_an_executor_that_is_killed_while_it_undoes_is_loud(self):
        failing = book("failing", write("first", DESCRIPTION.format("Ethernet1"), "one", timeout="2s"),
                       {"name": "never", "type": "gnmi-assert", "config": {"path": ENABLED, "equals": "no"}})
        self.create(failing, user="carol")
        self.rig.executor_server = self.deadly.url
        self.addCleanup(setattr, self.rig, "executor_server", None)
        with runbook_rig.Kubelet(self.rig) as kubelet:
            # Claim, start and end of two steps, the turn, the start of the undo; the next one is its outcome.
            self.deadly.arm(7, "before", lambda: [process.kill() for _, process in kubelet.running.values()])
            self.ask("undo-dies", "failing", device=DEVICE)
            self.closed("undo-dies")
            self.assertTrue(self.deadly.disarm())
        status = self.runs("undo-dies", "RollbackFailed")
        self.assertIn("ROLLBACK FAILED", status["message"])
        self.assertEqual(status["steps"][0]["phase"], "UndoFailed")
        self.assertEqual(status["steps"][0]["before"][0]["json"], json.dumps(self.before[0]))
        self.put_back()

    def test_two_operators_at_the_same_moment_start_an_execution_once(self):
        """The leader stands still longer than its Lease, wakes up when another one leads, and acts on what it saw before."""
        import signal
        leader = self.leader
        with runbook_rig.Kubelet(self.rig):
            leader.send_signal(signal.SIGSTOP)
            other = self.rig.operator("op-b")
            wait_for("another leader", lambda: self.rig.leads(other))
            names = [f"both-{number}" for number in range(5)]
            for name in names:
                self.ask(name, "quick", device=SECOND if name[-1] in "135" else DEVICE)
            leader.send_signal(signal.SIGCONT)
            for name in names:
                self.runs(name, "Succeeded")
                self.assertEqual(self.jobs_of(name), [self.rig.job(name, "r")])
                self.assertEqual(self.events_of(name, "step-started"), ["first", "second"])
            wait_for("end of the old leader", lambda: leader.ends)
            self.assertEqual(leader.ends[0], 1)
            self.rig.stop(leader)
        type(self).leader = other
        self.put_back()

    def test_a_leader_that_is_asked_to_end_gives_its_lease_up(self):
        other = self.rig.operator("op-next")
        self.assertFalse(self.rig.leads(other))
        begun = time.monotonic()
        self.rig.stop(self.leader)
        self.assertEqual(self.leader.returncode, 0)
        wait_for("the next leader", lambda: self.rig.leads(other))
        passed = time.monotonic() - begun
        lease = self.rig.get("leases", "helios-operator")["spec"]
        self.assertEqual(lease["holderIdentity"], "op-next")
        # Without the release nobody takes a Lease of 15 s that was renewed a moment ago.
        print(f"lease handed over in {passed:.1f} s")
        self.assertLess(passed, lease["leaseDurationSeconds"])
        type(self).leader = other

    # The API server.

    def test_an_api_server_that_is_away_for_a_minute_changes_nothing_but_the_time(self):
        with runbook_rig.Kubelet(self.rig):
            self.ask("away", "slow", device=DEVICE)
            wait_for("first step", lambda: self.descriptions()[0] == "one")
            self.cluster.kill("kube-apiserver")
            stopped = time.monotonic()
            wait_for("a minute", lambda: time.monotonic() - stopped > 60)
            # Nothing is done that cannot be recorded.
            self.assertEqual(self.descriptions()[1], self.before[1])
            self.cluster.restart("kube-apiserver")
            self.cluster.wait_for("the API server", lambda: self.api.request("GET", "/readyz") == "ok")
            # The leader could not renew its Lease and ended. A kubelet has started it again.
            self.runs("away", "Succeeded")
        self.assertEqual(self.events_of("away", "step-started"), ["first", "wait", "second"])
        self.assertEqual(len(self.jobs_of("away")), 1)
        self.put_back()

    def test_somebody_who_writes_the_same_object_all_the_time_makes_nothing_happen_twice(self):
        stop = threading.Event()

        def disturb():
            number = 0
            while not stop.wait(0.02):
                number += 1
                patch = {"metadata": {"labels": {"disturbed": str(number)}}}
                self.api.request("PATCH", self.rig.path("rbx", "disturbed"), patch, content="application/merge-patch+json")
        with runbook_rig.Kubelet(self.rig):
            self.ask("disturbed", "slow", device=DEVICE)
            thread = threading.Thread(target=disturb)
            thread.start()
            try:
                self.runs("disturbed", "Succeeded")
            finally:
                stop.set()
                thread.join()
        self.assertEqual(self.events_of("disturbed", "step-started"), ["first", "wait", "second"])
        self.assertEqual(len(self.jobs_of("disturbed")), 1)
        self.put_back()

    # Devices.

    def test_a_device_that_does_a_set_and_drops_the_connection_is_put_back(self):
        self.rig.fault("slow-set")
        with runbook_rig.Kubelet(self.rig):
            self.ask("dropped", "down", device=DEVICE)
            wait_for("interface that is down", lambda: not self.rig.enabled())
            self.rig.fault("slow-set", undo=True)
            self.rig.wire.cut()
            status = self.runs("dropped", "RolledBack")
        self.assertTrue(status["steps"][0]["uncertain"])
        self.assertEqual(self.descriptions(), self.before)

    def test_a_device_that_answers_after_the_time_out_is_put_back(self):
        self.rig.fault("slow-set")
        with runbook_rig.Kubelet(self.rig):
            self.ask("late", "down", device=DEVICE)
            wait_for("interface that is down", lambda: not self.rig.enabled())
            self.rig.fault("slow-set", undo=True)
            status = self.runs("late", "RolledBack")
        self.assertIn("not done within 3 s", status["message"])
        self.assertEqual(self.descriptions(), self.before)

    def test_a_device_that_refuses_the_second_of_two_paths_has_neither(self):
        two = {"name": "two", "type": "gnmi-set", "config": {"update": [
            {"path": DESCRIPTION.format("Ethernet1"), "value": "one"}, {"path": "/interfaces/interface[name=Ethernet1]/config/mtu", "value": 1}]}}
        self.create(book("half", write("first", DESCRIPTION.format("Ethernet2"), "two"), two), user="carol")
        with runbook_rig.Kubelet(self.rig):
            self.ask("half", "half", device=DEVICE)
            status = self.runs("half", "RolledBack")
        self.assertIn("mtu", status["message"])
        self.assertEqual([step["phase"] for step in status["steps"]], ["Undone", "Failed"])
        self.assertEqual(self.descriptions(), self.before)

    def test_a_device_that_is_gone_at_the_rollback_is_loud(self):
        self.create(book("gone", write("disable", ENABLED, False), wait(3), {"name": "never", "type": "gnmi-assert", "config": {
            "path": ENABLED, "equals": "no"}}), user="carol")
        with runbook_rig.Kubelet(self.rig):
            self.ask("gone", "gone", device=DEVICE)
            wait_for("interface that is down", lambda: not self.rig.enabled())
            wait_for("the step that waits", lambda: len(self.rig.status("gone").get("steps", [])) == 2)
            self.rig.wire.down()
            status = self.runs("gone", "RollbackFailed")
        self.assertFalse(self.rig.enabled(), "the device keeps it")
        self.assertIn("ROLLBACK FAILED at step disable", status["message"])
        self.assertEqual(status["steps"][0]["before"], [{"path": ENABLED, "json": "true"}])
        self.assertEqual(self.rig.metric(self.leader, 'helios_runbook_executions_total{runbook="gone",phase="RollbackFailed"}'), 1)
        reasons = [(event["type"], event["reason"]) for event in self.rig.get("events")["items"] if event["involvedObject"]["name"] == "gone"]
        self.assertIn(("Warning", "RollbackFailed"), reasons)
        self.rig.put(ENABLED, True)

    def test_a_list_of_devices_with_a_wrong_address_changes_no_device(self):
        lists = self.rig.folder / "devices/gnmic.yaml"
        text = lists.read_text()
        # The first device's name, and the second one's address and certificate.
        lists.write_text(f'"{DEVICE}": {{"address":"{self.rig.second}"}}\n')
        self.addCleanup(lists.write_text, text)
        with runbook_rig.Kubelet(self.rig):
            self.ask("exchanged", "quick", device=DEVICE)
            status = self.runs("exchanged", "Failed")
        self.assertIn(f"says that it is `{SECOND}`", status["message"])
        self.assertIn("nothing was sent", status["message"])

    # People.

    def test_an_approval_that_is_taken_back_at_the_last_second_starts_nothing(self):
        with runbook_rig.Kubelet(self.rig):
            self.ask("holds", "slow", device=DEVICE)
            self.rig.reach("holds", "Running")
            self.ask("revoked", "asked", device=DEVICE)
            self.say_yes("revoked")
            # Approved, and kept from its start by the device's lock.
            wait_for("reason", lambda: f"{DEVICE} is held by another execution" in self.rig.status("revoked")["message"])
            self.remove("RunbookApproval", "revoked-bob")
            status = self.runs("revoked", "Denied")
            self.assertIn("taken back", status["message"])
            self.runs("holds", "Succeeded")
        self.assertEqual(self.jobs_of("revoked"), [])
        self.put_back()

    def test_an_approval_after_its_time_starts_nothing(self):
        self.create(book("brief", write("first", DESCRIPTION.format("Ethernet1"), "one"), requiresApproval=True, approval={"timeout": "3s"}), user="carol")
        self.ask("expired", "brief", device=DEVICE)
        self.rig.reach("expired", "AwaitingApproval")
        status = self.runs("expired", "Denied")
        self.assertIn("not approved within 3s", status["message"])
        self.vote("expired", "bob")
        # Approved in time, and its device is not free in time.
        with runbook_rig.Kubelet(self.rig):
            self.ask("keeps", "slow", device=DEVICE)
            self.rig.reach("keeps", "Running")
            self.ask("too-late", "brief", device=DEVICE)
            self.say_yes("too-late")
            status = self.runs("too-late", "Denied")
            self.assertIn("3s", status["message"])
            self.runs("keeps", "Succeeded")
        self.assertEqual(self.jobs_of("expired") + self.jobs_of("too-late"), [])
        self.put_back()

    def test_without_the_policies_no_approval_counts(self):
        binding = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/helios-runbook-execution"
        kept = self.api.request("GET", binding)
        self.api.request("DELETE", binding)
        wait_for("the end of the policy", lambda: self.create({
            "apiVersion": "helios.io/v1alpha1", "kind": "RunbookExecution", "metadata": {"name": "probe"},
            "spec": {"runbookRef": {"name": "none"}, "requestedBy": "somebody"}}) == "")
        with runbook_rig.Kubelet(self.rig):
            self.ask("unproven", "asked", device=DEVICE)
            self.say_yes("unproven")
            wait_for("reason", lambda: "no approval counts" in self.rig.status("unproven")["message"])
            self.assertEqual(self.rig.status("unproven")["phase"], "AwaitingApproval")
            kept["metadata"] = {"name": kept["metadata"]["name"]}
            self.api.request("POST", binding.rsplit("/", 1)[0], kept)
            self.wait_for_policies()
            self.runs("unproven", "Succeeded")
        self.put_back()

    def test_a_runbook_that_is_edited_changes_no_execution_that_was_admitted(self):
        self.create(book("edited", write("first", DESCRIPTION.format("Ethernet1"), "as approved"), requiresApproval=True), user="carol")
        self.ask("edited", "edited", device=DEVICE)
        self.rig.reach("edited", "AwaitingApproval")
        other = {"spec": {"steps": [write("first", DESCRIPTION.format("Ethernet1"), "as edited")]}}
        path = f"/apis/helios.io/v1alpha1/namespaces/{NAMESPACE}/runbooks/edited"
        self.api.request("PATCH", path, other, content="application/merge-patch+json", user="carol")
        with runbook_rig.Kubelet(self.rig):
            self.say_yes("edited")
            status = self.runs("edited", "Succeeded")
        self.assertEqual(self.descriptions()[0], "as approved")
        self.assertEqual(status["runbook"]["spec"]["steps"][0]["config"]["value"], "as approved")
        self.put_back()

    def test_an_execution_that_is_deleted_while_it_runs_undoes_and_then_goes(self):
        with runbook_rig.Kubelet(self.rig):
            self.ask("deleted", "slow", device=DEVICE)
            wait_for("first step", lambda: self.descriptions()[0] == "one")
            # By force: the API server refuses it while the execution is not closed.
            forced = self.refused(lambda: self.api.request("PATCH", self.rig.path("rbx", "deleted"), {"metadata": {"finalizers": []}},
                                                           content="application/merge-patch+json"))
            self.assertIn("stays until the operator has closed the execution", forced)
            self.remove("RunbookExecution", "deleted")
            wait_for("end of the object", lambda: "deleted" not in [item["metadata"]["name"] for item in self.rig.get("rbx")["items"]])
        self.assertEqual(self.descriptions(), self.before)
        self.assertEqual(self.events_of("deleted", "undo-done"), ["first"])

    def test_a_cancel_while_it_runs_undoes(self):
        with runbook_rig.Kubelet(self.rig):
            self.ask("cancelled", "slow", device=DEVICE)
            wait_for("first step", lambda: self.descriptions()[0] == "one")
            self.cancel("cancelled")
            status = self.runs("cancelled", "Cancelled")
        self.assertIn("every change is undone", status["message"])
        self.assertEqual(self.descriptions(), self.before)

    def test_names_with_quotes_brackets_and_newlines_change_nothing_else(self):
        self.create(book("named", write("first", "/interfaces/interface[name={{.interface}}]/config/description", "{{.interface}}"),
                         parameters=[DEVICE_PARAMETER, {"name": "interface", "type": "string", "required": True}]), user="carol")
        whole = self.rig.leaves("/interfaces")
        with runbook_rig.Kubelet(self.rig):
            for number, name in enumerate(['Ethernet1]/config/enabled', 'Ethernet1"]', "Ethernet1\n", "{{.device}}", "../../system", "*", "Ethernet1][x=y", "\\"]):
                self.ask(f"named-{number}", "named", device=DEVICE, interface=name)
                status = self.closed(f"named-{number}")
                self.assertIn(status["phase"], ("Failed", "Denied"), (name, status["message"]))
        self.assertEqual(self.rig.leaves("/interfaces"), whole)

    # Many.

    def test_one_device_has_one_execution_at_a_time(self):
        with runbook_rig.Kubelet(self.rig):
            names = [f"queue-{number}" for number in range(4)]
            for name in names:
                self.ask(name, "quick", device=DEVICE)
            for name in names:
                self.runs(name, "Succeeded")
        self.assertEqual(overlaps(self.rig, names), [])
        self.put_back()

    def test_a_runbook_runs_as_often_at_a_time_as_it_says(self):
        # Without a device: nothing but maxConcurrent keeps them apart.
        self.create(runbook("few", steps=[wait(2)], maxConcurrent=2), user="carol")
        names = [f"few-{number}" for number in range(6)]
        with runbook_rig.Kubelet(self.rig, most=6):
            with concurrent.futures.ThreadPoolExecutor(6) as pool:
                list(pool.map(lambda name: self.ask(name, "few"), names))
            for name in names:
                self.runs(name, "Succeeded")
        self.assertLessEqual(most_at_once(self.rig, names), 2)
        self.assertIn("waits", self.events_named(names))

    def events_named(self, names):
        _, entries = self.rig.audit()
        return {entry["event"] for entry in entries if entry["execution"] in names}

    def test_500_executions_at_once_run_one_after_the_other_or_are_cancelled(self):
        names = [f"many-{number}" for number in range(500)]
        begun = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: self.ask(name, "quick", device=DEVICE), names))
        print(f"500 executions created in {time.monotonic() - begun:.0f} s")
        with runbook_rig.Kubelet(self.rig):
            wait_for("ten that are done", lambda: self.metric("quick", "Succeeded") >= 10, 300)
            running = [item for item in self.rig.get("rbx")["items"] if item.get("status", {}).get("phase") in ("Running", "RollingBack")]
            self.assertLessEqual(len(running), 1)
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                list(pool.map(self.cancel, names))
            wait_for("end of all", lambda: all(item.get("status", {}).get("closed") for item in self.rig.get("rbx")["items"]), 300)
        ends = {}
        for item in self.rig.get("rbx")["items"]:
            if item["metadata"]["name"] in names:
                ends.setdefault(item["status"]["phase"], []).append(item)
        print("500 executions:", {phase: len(items) for phase, items in ends.items()}, f"operator {self.rig.memory(self.leader):.0f} MiB")
        self.assertLessEqual(set(ends), {"Succeeded", "Cancelled"})
        self.assertEqual(overlaps(self.rig, names), [])
        for item in ends["Cancelled"]:
            self.assertNotIn("ROLLBACK", item["status"]["message"])
        verified, _ = self.rig.audit()
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)
        self.put_back()

    def metric(self, runbook_name, phase):
        return self.rig.metric(self.leader, f'helios_runbook_executions_total{{runbook="{runbook_name}",phase="{phase}"}}') or 0


def spans(rig, names):
    """From the operator's start of each execution to its close, by the order of the audit entries' time."""
    found = []
    for item in rig.get("rbx")["items"]:
        status = item.get("status", {})
        if item["metadata"]["name"] in names and status.get("startedAt"):
            found.append((status["startedAt"], status["finishedAt"], item["metadata"]["name"]))
    return sorted(found)


def overlaps(rig, names):
    """Executions that ran at the same time; times are whole seconds."""
    found = spans(rig, names)
    return [(one, other) for one, other in zip(found, found[1:]) if other[0] < one[1]]


def most_at_once(rig, names):
    marks = sorted(mark for begin, end, _ in spans(rig, names) for mark in ((begin, 1), (end, -1)))
    most = now = 0
    for _, change in marks:
        now += change
        most = max(most, now)
    return most


if __name__ == "__main__":
    unittest.main()
