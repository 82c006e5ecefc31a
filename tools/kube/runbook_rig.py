"""What tests of the runbook operator need beside the API server: the operator, a kubelet for executors' pods, devices, a person."""

import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request

import cluster
import runbook_wire

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
OPERATOR = os.environ.get("HELIOS_OPERATOR", str(TARGET / "helios-operator"))
PRACTICE = os.environ.get("HELIOS_PRACTICE", str(TARGET / "helios-practice"))
DEVICE = "router1.dc1.example.com"
# A loaded machine is slow; what is waited for comes within seconds on an idle one.
LIMIT_SECS = 300
# The second device of the network, by its own name.
SECOND = "zrh-core-2"
# Where the API server has what tests look at.
PATHS = {"rbx": "helios.io/v1alpha1 runbookexecutions", "rba": "helios.io/v1alpha1 runbookapprovals", "jobs": "batch/v1 jobs", "pods": "v1 pods",
         "leases": "coordination.k8s.io/v1 leases", "events": "v1 events", "deployment": "apps/v1 deployments"}
# Second octet of the devices' addresses: the lab's own are from 20 on.
BASE = os.environ.get("RUNBOOK_BASE", "77")


def wait_for(what, is_there, limit_secs=LIMIT_SECS):
    return cluster.wait_for(what, is_there, limit_secs)


class Operator:
    """A pod of the operator: its process, which a kubelet starts again when it ends by itself."""

    def __init__(self, start, url):
        self.begin, self.url, self.wanted, self.ends = start, url, True, []
        self.process = start()

    def __getattr__(self, name):
        return getattr(self.process, name)

    def revive(self):
        if self.wanted and self.process.poll() is not None:
            self.ends.append(self.process.returncode)
            self.process = self.begin()


class Rig:
    """Processes and files of one folder; `close` ends them."""

    def __init__(self, kubectl, running, namespace, folder, lab=None):
        """`lab`: folder of a lab that runs (tools/lab), in place of a network of its own."""
        self.kubectl, self.access, self.namespace, self.folder = kubectl, running.kubeconfig, namespace, pathlib.Path(folder)
        self.api = cluster.Api(folder)
        self.processes, self.outputs, self.accounts, self.operators = [], set(), {}, []
        # What a test changes: environment of operators and executors, and how executors reach the API server.
        self.servers, self.executor_server, self.executor_servers = {}, None, {}
        self.wire = None
        if lab:
            self.use_lab(pathlib.Path(lab))
        else:
            self.start_device()

    def spawn(self, name, command, env=None, cwd=None):
        output = self.folder / f"{name}.out"
        self.outputs.add(output)
        with open(output, "a") as out, open(self.folder / f"{name}.log", "a") as log:
            process = subprocess.Popen(list(map(str, command)), stdout=out, stderr=log, env=env, cwd=cwd)
        self.processes.append(process)
        return process

    def close(self):
        if self.wire:
            self.wire.close()
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
        text = network.read_text()
        addresses = {found[1]: found[2] for found in re.finditer(r"- name: (\S+)\n(?:  .*\n)*?  address: \"?([0-9.]+)", text)}
        self.address, self.second = f"{addresses[DEVICE]}:9339", f"{addresses[SECOND]}:9339"
        self.places = json.loads((self.lab / "practice.json").read_text())
        self.make_credentials()
        # Between executors and the first device: the test can cut it.
        self.wire = runbook_wire.Wire(self.address)
        self.devices = self.folder / "devices"
        self.devices.mkdir()
        (self.devices / "gnmic.yaml").write_text(
            f'"{DEVICE}": {{"address":"{self.wire.address}","tls-server-name":"{DEVICE}"}}\n"{SECOND}": {{"address":"{self.second}"}}\n')

    def use_lab(self, lab):
        """Its devices, with the list that `helios targets` made of its NetBox."""
        self.lab, self.devices = lab, lab / "targets"
        self.places = json.loads((lab / "practice.json").read_text())
        self.make_credentials()

    def make_credentials(self):
        credentials = self.folder / "credentials"
        credentials.mkdir()
        (credentials / "ca.crt").write_text((self.lab / "ca.pem").read_text())
        (credentials / "username").write_text("lab")
        (credentials / "password").write_text("lab-password")

    def leaf(self, path, address=None):
        """A value as gnmic reads it, by a way of its own."""
        done = subprocess.run([*self.gnmic(address), "get", "--path", path, "-e", "json_ietf", "--format", "flat"],
                              capture_output=True, text=True, check=True)
        return done.stdout.strip().rsplit(": ", 1)[-1]

    def enabled(self, interface="Ethernet1"):
        return self.leaf(f"/interfaces/interface[name={interface}]/config/enabled") == "true"

    def leaves(self, path):
        """The whole subtree."""
        return subprocess.run([*self.gnmic(), "get", "--path", path, "-t", "CONFIG", "-e", "json_ietf"], capture_output=True, text=True, check=True).stdout.split('"updates"')[1]

    def put(self, path, value):
        subprocess.run([*self.gnmic(), "set", "--update-path", path, "--update-value", json.dumps(value), "-e", "json_ietf"],
                       capture_output=True, text=True, check=True)

    def gnmic(self, address=None):
        return [cluster.program("gnmic"), "-a", address or self.address, "--tls-ca", str(self.lab / "ca.pem"), "-u", "lab", "-p", "lab-password"]

    def fault(self, name, undo=False, device=DEVICE):
        body = json.dumps({"fault": name, "device": device, "undo": undo}).encode()
        request = urllib.request.Request(self.places["control"] + "/api/faults", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()

    # The operator, as the chart starts it.

    def kubeconfig(self, account, server=None):
        """`server`: where the API server is reached in place of its own address."""
        if account not in self.accounts:
            self.accounts[account] = self.kubectl("create", "token", account, "-n", self.namespace, "--duration=8h").stdout.strip()
        access = json.loads(self.access.read_text())
        access["users"] = [{"name": "admin", "user": {"token": self.accounts[account]}}]
        if server:
            access["clusters"][0]["cluster"] = {"server": server}
        path = self.folder / f"{account}-{server.rsplit(':', 1)[1] if server else 'own'}.kubeconfig"
        if not path.exists():
            # Whole at once: another process may read it already.
            new = path.with_suffix(f".{threading.get_ident()}")
            new.write_text(json.dumps(access))
            new.rename(path)
        return path

    def environment(self, container, account, server=None, **more):
        """What the pod's container has, with values of the cluster in place of references."""
        given = {e["name"]: e.get("value", self.namespace) for e in container.get("env", [])}
        return {"PATH": os.environ["PATH"], **given, "KUBECONFIG": str(self.kubeconfig(account, server)), **more}

    def operator(self, name, server=None):
        deployment = self.get("deployment", "helios-operator")
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        port = cluster.free_ports(1)[0]
        token = self.folder / "alert-token"
        token.write_text("s3cret\n")
        env = self.environment(container, "helios-operator", server, POD_NAME=name, LISTEN=f"127.0.0.1:{port}", ALERT_TOKEN_FILE=str(token),
                               HELIOS_SERVERS=json.dumps(self.servers))
        operator = Operator(lambda: self.spawn(name, [OPERATOR, *container["args"]], env), f"http://127.0.0.1:{port}")
        self.operators.append(operator)
        wait_for(f"probe of {name}", lambda: self.page(operator, "/readyz") == "ok\n")
        return operator

    def leads(self, process):
        return self.metric(process, "helios_runbook_leader") == 1

    def leading(self, name, server=None):
        """An operator that leads."""
        process = self.operator(name, server)
        wait_for(f"leader {name}", lambda: self.leads(process))
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

    def path(self, kind, name=""):
        group, plural = PATHS[kind].split()
        prefix = "/apis/" if "/" in group else "/api/"
        return f"{prefix}{group}/namespaces/{self.namespace}/{plural}/{name}".rstrip("/")

    def get(self, kind, name="", selector=""):
        query = "?" + urllib.parse.urlencode({"labelSelector": selector}) if selector else ""
        return self.api.request("GET", self.path(kind, name) + query)

    def status(self, name):
        return self.get("rbx", name).get("status", {})

    def has_closed(self, name):
        """Whether the operator is done with an execution that may not be there yet."""
        return any(item["metadata"]["name"] == name and item.get("status", {}).get("closed") for item in self.get("rbx")["items"])

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
        found = wait_for(f"pod of {job}", lambda: self.get("pods", selector=f"batch.kubernetes.io/job-name={job}")["items"])
        assert len(found) == 1, found
        return found[0]

    def execute(self, job):
        """Starts the container's command as a process, as a kubelet would."""
        return self.start_pod(self.pod(job))

    def start_pod(self, pod):
        container, name = pod["spec"]["containers"][0], pod["metadata"]["labels"]["batch.kubernetes.io/job-name"]
        if container["name"] == "script":
            message = self.folder / f"{name}.message"
            # No token and no Secret, as the pod's spec says. The image's root is this machine's.
            env = {"PATH": os.environ["PATH"], "TERMINATION_LOG": str(message), **{e["name"]: e["value"] for e in container.get("env", [])}}
            process = self.spawn(name, container["command"], env)
            process.message = message
            return process
        server = self.executor_servers.get(pod["metadata"]["labels"]["helios.io/execution"], self.executor_server)
        env = self.environment(container, pod["spec"]["serviceAccountName"], server, HELIOS_DEVICES_DIR=str(self.devices),
                               HELIOS_CREDENTIALS_DIR=str(self.folder / "credentials"))
        servers = {**json.loads(env["HELIOS_SERVERS"]), "notify_dir": str(self.folder / "notify")}
        return self.spawn(name, [OPERATOR, *container["args"]], {**env, "HELIOS_SERVERS": json.dumps(servers)})

    def ended(self, job, succeeded):
        """Reports the end of the pod, as a kubelet would. Its Job then ends as well."""
        self.report(self.pod(job), 0 if succeeded else 1)

    def report(self, pod, code, message=""):
        state = {"terminated": {"exitCode": code, "finishedAt": "2026-01-01T00:00:00Z", "message": message}}
        status = {"phase": "Failed" if code else "Succeeded", "containerStatuses": [
            {"name": pod["spec"]["containers"][0]["name"], "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": state}]}
        self.api.request("PATCH", self.path("pods", pod["metadata"]["name"]) + "/status", {"status": status}, content="application/merge-patch+json")

    def job(self, name, suffix):
        """As it follows from the execution: r does the steps, u undoes them."""
        return f"{name}-{self.get('rbx', name)['metadata']['uid'][:8]}-{suffix}"

    def votes(self, name):
        return [vote for vote in self.get("rba")["items"] if vote["spec"]["executionRef"]["name"] == name]

    def memory(self, process):
        """Resident MiB."""
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def stop(self, process):
        process.wanted = False
        process.terminate()
        process.wait(LIMIT_SECS)

    def kill(self, process):
        process.wanted = False
        process.send_signal(signal.SIGKILL)
        process.wait()

    def audit(self):
        """Every entry that operators and executors wrote to standard output."""
        path, executions = self.folder / "audit.jsonl", self.folder / "executions.json"
        # First the statuses: an entry is handed out a moment after its status was written, by executors that run on.
        found = {"items": [item for item in self.get("rbx")["items"] if item.get("status", {}).get("closed")]}
        executions.write_text(json.dumps(found))
        lines = [line for output in list(self.outputs) if output.exists() for line in output.read_text().splitlines()]
        entries = [json.loads(line)["audit"] for line in lines if line.startswith('{"audit"') and line.endswith("}}")]
        path.write_text("".join(json.dumps({"audit": entry}) + "\n" for entry in entries))
        done = subprocess.run([OPERATOR, "audit", "verify", path, "--executions", executions], capture_output=True, text=True, check=False)
        return done, entries


class Kubelet(threading.Thread):
    """Runs every pod of an executor or a script as a process, and reports its end; `most` at the same time."""

    def __init__(self, rig, most=4):
        super().__init__(daemon=True)
        self.rig, self.most, self.stopping = rig, most, threading.Event()
        self.running, self.seen = {}, set()
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.join()

    def run(self):
        while not self.stopping.wait(0.3):  # between two looks
            try:
                self.look()
            except OSError:
                pass  # the API server is away

    def look(self):
        for operator in self.rig.operators:
            operator.revive()
        for uid, (pod, process) in list(self.running.items()):
            if process.poll() is not None:
                message = process.message.read_text() if getattr(process, "message", None) and process.message.exists() else ""
                try:
                    self.rig.report(pod, 1 if process.returncode else 0, message)
                except urllib.error.HTTPError as error:
                    if error.code != 404:
                        raise
                del self.running[uid]
        for pod in self.rig.get("pods", selector="batch.kubernetes.io/job-name")["items"]:
            uid = pod["metadata"]["uid"]
            if pod["status"].get("phase") == "Pending" and uid not in self.seen and len(self.running) < self.most:
                self.seen.add(uid)
                self.running[uid] = (pod, self.rig.start_pod(pod))
