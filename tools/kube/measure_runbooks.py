#!/usr/bin/env python3
"""Measures the runbook operator on a real API server: memory and API requests of an idle one with old executions, and the time from
`kubectl apply` to the first gNMI Set. `make measure-runbooks` builds what it needs.

    measure_runbooks.py [--executions 1000] [--idle-secs 300] [--runs 10]

No image is pulled and no node is chosen: a kubelet of the test starts the executor within 0.3 s of its pod.
"""

import argparse
import concurrent.futures
import json
import statistics
import time

import runbook_rig
import runbook_wire
from runbook_case import Case, execution, runbook
from runbook_rig import DEVICE, wait_for

DESCRIPTION = "/interfaces/interface[name=Ethernet1]/config/description"
STEPS = [{"name": "first", "type": "gnmi-set", "config": {"path": DESCRIPTION, "value": "{{.text}}"}},
         {"name": "wait", "type": "wait", "config": {"duration": "1s"}},
         {"name": "second", "type": "gnmi-set", "config": {"path": "/interfaces/interface[name=Ethernet2]/config/description", "value": "{{.text}}"}}]
BOOK = runbook("measured", steps=STEPS, parameters=[{"name": name, "type": "string", "required": True} for name in ("device", "text")])


class Measure(Case):
    @classmethod
    def start(cls):
        cls.setUpClass()
        cls.deadly = runbook_wire.Deadly(cls.api)
        cls.addClassCleanup(cls.deadly.close)
        assert not cls.create(BOOK, user="carol")
        return cls("start")

    def old(self, count):
        """Executions that are over, each with the status of one that ran."""
        leader = self.rig.leading("op-first")
        with runbook_rig.Kubelet(self.rig):
            self.ask("pattern", "measured", device=DEVICE, text="old")
            status = self.closed("pattern")
        self.rig.stop(leader)

        def make(number):
            name = f"old-{number}"
            item = self.make(execution(name, runbookRef={"name": "measured"}, parameters={"device": DEVICE, "text": "old"}), "alice")
            item["status"] = status
            self.api.request("PUT", self.rig.path("rbx", name) + "/status", item)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(make, range(count - 1)))
        return len(json.dumps(self.rig.get("rbx", "pattern")))

    def idle(self, seconds):
        leader = self.rig.leading("op-idle", self.deadly.url)
        wait_for("all executions in its cache", lambda: self.rig.metric(leader, 'helios_runbook_executions{phase="Succeeded"}'))
        settled = time.monotonic()
        wait_for("a quiet operator", lambda: time.monotonic() - settled > 20)
        before, begun = self.deadly.requests.copy(), time.monotonic()
        wait_for("the end of the measurement", lambda: time.monotonic() - begun > seconds, seconds + 60)
        hours = (time.monotonic() - begun) / 3600
        requests = self.deadly.requests - before
        memory = self.rig.memory(leader)
        self.rig.stop(leader)
        return memory, {kind: round(number / hours) for kind, number in requests.items()}

    def first_set(self, runs):
        leader = self.rig.leading("op-timed")
        seconds = []
        with runbook_rig.Kubelet(self.rig):
            for run in range(runs):
                item = execution(f"timed-{run}", runbookRef={"name": "measured"}, requestedBy="alice", parameters={"device": DEVICE, "text": f"run {run}"})
                begun = time.monotonic()
                self.kubectl("apply", "-n", "helios-automation", "-f", "-", user="alice", text=json.dumps(item))
                wait_for("the first Set", lambda: self.rig.leaf(DESCRIPTION) == f"run {run}")
                seconds.append(time.monotonic() - begun)
                self.closed(f"timed-{run}")
        self.rig.stop(leader)
        return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executions", type=int, default=1000)
    parser.add_argument("--idle-secs", type=int, default=300)
    parser.add_argument("--runs", type=int, default=10)
    given = parser.parse_args()
    try:
        measure = Measure.start()
        seconds = measure.first_set(given.runs)
        print(f"from kubectl apply to the first gNMI Set: median {statistics.median(seconds):.1f} s, {min(seconds):.1f} to {max(seconds):.1f} s, {given.runs} runs")
        size = measure.old(given.executions)
        memory, requests = measure.idle(given.idle_secs)
        print(f"idle for {given.idle_secs} s with {given.executions} old executions of {size / 1024:.0f} KiB: {memory:.0f} MiB, "
              f"{sum(requests.values())} API requests an hour: {requests}")
    finally:
        Measure.doClassCleanups()


if __name__ == "__main__":
    main()
