"""What tests of the runbook operator need beside the API server: the operator, a kubelet for executors' pods, devices, a person."""

import json
import os
import pathlib
import re
import signal
import subprocess
import urllib.error
import urllib.request

import cluster

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
OPERATOR = os.environ.get("HELIOS_OPERATOR", str(TARGET / "helios-operator"))
PRACTICE = os.environ.get("HELIOS_PRACTICE", str(TARGET / "helios-practice"))
DEVICE = "router1.dc1.example.com"
LIMIT_SECS = 90
# Second octet of the devices' addresses: the lab's own are from 20 on.
BASE = 77


def wait_for(what, is_there, limit_secs=LIMIT_SECS):
    return cluster.wait_for(what, is_there, limit_secs)


class Rig:
    """Processes and files of one folder; `close` ends them."""

    def __init__(self, kubectl, access, namespace, folder):
        self.kubectl, self.access, self.namespace, self.folder = kubectl, access, namespace, pathlib.Path(folder)
        self.processes, self.outputs = [], set()
        self.start_device()

    def spawn(self, name, command, env=None, cwd=None):
        output = self.folder / f"{name}.out"
        self.outputs.add(output)
        with open(output, "a") as out, open(self.folder / f"{name}.log", "a") as log:
            process = subprocess.Popen(list(map(str, command)), stdout=out, stderr=log, env=env, cwd=cwd)
        self.processes.append(process)
        return process

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()

    # Devices: the practice network, whose first one gets the name that the reference's example has.

    def start_device(self):
        first = self.folder / "first"
        done = self.spawn("practice-first", [PRACTICE, "--folder", first, "--devices", "4", "--base", BASE])
        wait_for("description of the network", (first / "practice.json").exists)
        done.kill()
        done.wait()
        text = (first / "network.yaml").read_text()
        name = re.search(r"devices:\n- name: (\S+)", text)[1]
        network = self.folder / "network.yaml"
        network.write_text(text.replace(name, DEVICE))
        self.lab = self.folder / "lab"
        self.spawn("practice", [PRACTICE, "--folder", self.lab, "--network", network])
        wait_for("devices", (self.lab / "practice.json").exists)
        address = re.search(rf"name: {re.escape(DEVICE)}\n.*?address: \"?([0-9.]+)", network.read_text(), re.S)[1]
        self.address = f"{address}:9339"
        devices, credentials = self.folder / "devices", self.folder / "credentials"
        for folder in (devices, credentials):
            folder.mkdir()
        (devices / "gnmic.yaml").write_text(f'"{DEVICE}": {{"address":"{self.address}","tls-ca":"{self.lab / "ca.pem"}"}}\n')
        (credentials / "username").write_text("lab")
        (credentials / "password").write_text("lab-password")

    def enabled(self, interface="Ethernet1"):
        """As gnmic reads it."""
        path = f"/interfaces/interface[name={interface}]/config/enabled"
        done = subprocess.run([cluster.program("gnmic"), "-a", self.address, "--tls-ca", str(self.lab / "ca.pem"), "-u", "lab", "-p",
                               "lab-password", "get", "--path", path, "-e", "json_ietf", "--format", "flat"],
                              capture_output=True, text=True, check=True)
        return done.stdout.strip().endswith(": true")

    # The operator, as the chart starts it.

    def kubeconfig(self, account):
        token = self.kubectl("create", "token", account, "-n", self.namespace, "--duration=1h").stdout.strip()
        access = json.loads(self.access.read_text())
        access["users"] = [{"name": "admin", "user": {"token": token}}]
        path = self.folder / f"{account}.kubeconfig"
        path.write_text(json.dumps(access))
        return path

    def environment(self, container, account, **more):
        """What the pod's container has, with values of the cluster in place of references."""
        given = {e["name"]: e.get("value", self.namespace) for e in container.get("env", [])}
        return {"PATH": os.environ["PATH"], **given, "KUBECONFIG": str(self.kubeconfig(account)), **more}

    def operator(self, name):
        deployment = self.get("deployment", "helios-operator")
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        port = cluster.free_ports(1)[0]
        token = self.folder / "alert-token"
        token.write_text("s3cret\n")
        env = self.environment(container, "helios-operator", POD_NAME=name, LISTEN=f"127.0.0.1:{port}", ALERT_TOKEN_FILE=str(token))
        process = self.spawn(name, [OPERATOR, *container["args"]], env)
        process.url = f"http://127.0.0.1:{port}"
        wait_for(f"probe of {name}", lambda: self.page(process, "/readyz") == "ok\n")
        return process

    def page(self, process, path):
        try:
            with urllib.request.urlopen(process.url + path, timeout=10) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, OSError):
            return None

    def metric(self, process, series):
        for line in (self.page(process, "/metrics") or "").splitlines():
            if line.startswith(series + " "):
                return float(line.split()[-1])
        return None

    def alert(self, process, token, alerts):
        request = urllib.request.Request(process.url + "/alerts", data=json.dumps({"version": "4", "alerts": alerts}).encode(),
                                         headers={"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode().split()
        except urllib.error.HTTPError as error:
            return error.code, []

    # Executions.

    def get(self, *what):
        return json.loads(self.kubectl("get", *what, "-n", self.namespace, "-o", "json").stdout)

    def status(self, name):
        return self.get("rbx", name).get("status", {})

    def reach(self, name, *phases):
        seen = {}

        def is_there():
            seen["last"] = self.status(name)
            return seen["last"] if seen["last"].get("phase") in phases else None
        try:
            return wait_for(f"{name} in {phases}", is_there)
        except AssertionError as error:
            raise AssertionError(f"{error}: {seen['last'].get('phase')}: {seen['last'].get('message')}") from None

    def pod(self, job):
        """The pod that the Job's controller made."""
        found = wait_for(f"pod of {job}", lambda: self.get("pods", "-l", f"batch.kubernetes.io/job-name={job}")["items"])
        assert len(found) == 1, found
        return found[0]

    def execute(self, job):
        """Starts the container's command as a process, as a kubelet would."""
        pod = self.pod(job)
        container = pod["spec"]["containers"][0]
        env = self.environment(container, pod["spec"]["serviceAccountName"], HELIOS_DEVICES_DIR=str(self.folder / "devices"),
                               HELIOS_CREDENTIALS_DIR=str(self.folder / "credentials"))
        return self.spawn(job, [OPERATOR, *container["args"]], env)

    def ended(self, job, succeeded):
        """Reports the end of the pod, as a kubelet would. Its Job then ends as well."""
        pod = self.pod(job)
        state = {"terminated": {"exitCode": 0 if succeeded else 1, "finishedAt": "2026-01-01T00:00:00Z"}}
        status = {"phase": "Succeeded" if succeeded else "Failed", "containerStatuses": [
            {"name": "executor", "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": state}]}
        self.kubectl("patch", "pod", pod["metadata"]["name"], "-n", self.namespace, "--subresource=status", "--type=merge", "-p",
                     json.dumps({"status": status}))

    def kill(self, process):
        process.send_signal(signal.SIGKILL)
        process.wait()

    def audit(self):
        """Every entry that operators and executors wrote to standard output."""
        lines = [line for output in self.outputs if output.exists() for line in output.read_text().splitlines()]
        entries = [json.loads(line)["audit"] for line in lines if line.startswith('{"audit"')]
        path, executions = self.folder / "audit.jsonl", self.folder / "executions.json"
        path.write_text("".join(json.dumps({"audit": entry}) + "\n" for entry in entries))
        executions.write_text(json.dumps(self.get("rbx")))
        done = subprocess.run([OPERATOR, "audit", "verify", path, "--executions", executions], capture_output=True, text=True, check=False)
        return done, entries
