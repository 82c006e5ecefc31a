#!/usr/bin/env python3
"""A Kubernetes API of its own on loopback, for tests: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, simulated nodes.

    tools/kube/cluster.py up FOLDER [--nodes N] [--address ::1]
                                                     starts it and returns when it answers; FOLDER/kubeconfig is its administrator's
    tools/kube/cluster.py down FOLDER                stops every process that `up` started
    tools/kube/cluster.py run [--nodes N] -- COMMAND starts one, runs COMMAND with KUBECONFIG set, stops it, exits as COMMAND did

What it is: the real API server with RBAC and its admission plugins (PodSecurity, ValidatingAdmissionPolicy, ResourceQuota and
the others that are on by default), the real controllers (Deployments, StatefulSets, Jobs, garbage collection, volumes from the
StorageClass `standard`) and the real scheduler. What it is not: no container runs. nodes.py has the
nodes, whose pods become Ready, and those of Jobs complete, without running anything, and gives addresses to Services of type
LoadBalancer.

Several clusters can run at once: every port is a free one of 127.0.0.1. With `--address ::1` the API server listens on IPv6
alone. The programs are those of
`tools/components/install.sh kubernetes`.
"""

import argparse
import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

import nodes as simulated

HERE = pathlib.Path(__file__).resolve().parent
COMPONENTS = pathlib.Path(os.environ.get("HELIOS_COMPONENTS", pathlib.Path.home() / ".cache/helios/components"))
# A cold etcd and API server need 5 s on an idle machine; a machine that compiles at the same time needs more than ten times that.
START_LIMIT_SECS = 300


def program(name):
    """The path of a component at the version that tools/components/versions names, or else of the one on the PATH."""
    for line in (HERE.parent / "components/versions").read_text().splitlines():
        if line.startswith(f"{name} "):
            path = COMPONENTS / f"{name}-{line.split()[1]}" / name
            if path.exists():
                return str(path)
    return shutil.which(name) or sys.exit(f"cluster: {name} is not installed: run `make kube-components`")


def free_ports(count):
    """That many free TCP ports of 127.0.0.1. All are held until the last is known, so that no two are the same."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def wait_for(what, is_there, limit_secs):
    """Looks until `is_there` gives something true, and returns that."""
    deadline = time.monotonic() + limit_secs
    while time.monotonic() < deadline:
        if found := is_there():
            return found
        time.sleep(0.2)  # between two looks
    raise AssertionError(f"no {what} within {limit_secs} s")


class Api:
    """Requests to the API server as its administrator."""

    def __init__(self, folder):
        access = json.loads((pathlib.Path(folder) / "access.json").read_text())
        self.server, self.token, self.ca = access["server"], access["token"], access["ca"]
        self.tls = ssl.create_default_context(cafile=access["ca"])

    def request(self, method, path, body=None, content="application/json", user=None):
        """`user`: in whose name; the administrator's otherwise."""
        impersonated = {"Impersonate-User": user} if user else {}
        request = urllib.request.Request(
            self.server + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": content, **impersonated},
        )
        with urllib.request.urlopen(request, context=self.tls, timeout=120) as answer:
            text = answer.read()
        return json.loads(text) if text[:1] == b"{" else text.decode()


class Cluster:
    """The processes of one folder. Also a context manager: `with Cluster(folder) as cluster:`."""

    def __init__(self, folder, nodes=3, address="127.0.0.1"):
        """`address`: where the API server listens."""
        self.folder = pathlib.Path(folder).resolve()
        self.nodes, self.address = nodes, address
        self.commands = {}
        self.kubeconfig = self.folder / "kubeconfig"

    def __enter__(self):
        self.up()
        return self

    def __exit__(self, *_):
        self.down()

    def up(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        pids = self.folder / "pids.json"
        if pids.exists():
            sys.exit(f"cluster: {pids} is there: run `cluster.py down {self.folder}` first")
        # Looked up before anything runs, so that a missing program leaves nothing to stop.
        names = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"]
        self.programs = {name: program(name) for name in names}
        self.programs["etcd"] = shutil.which("etcd") or sys.exit("cluster: etcd is not installed: run `make kube-components`")
        try:
            self.start_control_plane()
            self.start_nodes()
        except BaseException:
            self.down()
            raise

    def start_control_plane(self):
        etcd, peer, api, controllers, scheduler = free_ports(5)
        pki = self.folder / "pki"
        pki.mkdir(exist_ok=True)
        key, public, token = pki / "sa.key", pki / "sa.pub", secrets.token_hex(16)
        run = lambda *command: subprocess.run(command, check=True, capture_output=True)
        run("openssl", "genrsa", "-out", key, "2048")
        run("openssl", "rsa", "-in", key, "-pubout", "-out", public)
        (self.folder / "tokens.csv").write_text(f'{token},admin,1,"system:masters"\n')
        is_ipv6 = ":" in self.address
        server = f"https://[{self.address}]:{api}" if is_ipv6 else f"https://{self.address}:{api}"
        ca = pki / "apiserver.crt"
        (self.folder / "access.json").write_text(json.dumps({"server": server, "token": token, "ca": str(ca)}))
        # JSON is YAML: kubectl and every client library read it.
        self.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority": str(ca)}}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        }))
        # Without fsync: what a test writes need not survive a power cut, and a loaded disk would make every write slow.
        self.start("etcd", "--data-dir", self.folder / "etcd", "--unsafe-no-fsync",
                   f"--listen-client-urls=http://127.0.0.1:{etcd}", f"--advertise-client-urls=http://127.0.0.1:{etcd}",
                   f"--listen-peer-urls=http://127.0.0.1:{peer}", f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
                   f"--initial-cluster=default=http://127.0.0.1:{peer}")
        self.start("kube-apiserver", f"--etcd-servers=http://127.0.0.1:{etcd}", f"--secure-port={api}", f"--bind-address={self.address}",
                   f"--advertise-address={self.address}", f"--cert-dir={pki}",
                   f"--service-cluster-ip-range={'fd00:96::/112' if is_ipv6 else '10.96.0.0/16'}",
                   "--authorization-mode=RBAC", f"--token-auth-file={self.folder / 'tokens.csv'}",
                   "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={public}",
                   f"--service-account-signing-key-file={key}", "--endpoint-reconciler-type=none", "--allow-privileged=true",
                   "--enable-admission-plugins=PodSecurity,ValidatingAdmissionPolicy")
        self.wait_for("the API server", lambda: Api(self.folder).request("GET", "/readyz") == "ok")
        clients = [f"--{which}kubeconfig={self.kubeconfig}" for which in ("", "authentication-", "authorization-")]
        self.start("kube-controller-manager", *clients, "--bind-address=127.0.0.1", f"--secure-port={controllers}",
                   f"--service-account-private-key-file={key}", f"--root-ca-file={ca}", "--use-service-account-credentials=true",
                   "--leader-elect=false", "--enable-hostpath-provisioner=true",
                   "--controllers=*,-node-ipam-controller,-node-route-controller,-service-lb-controller")
        self.start("kube-scheduler", *clients, "--bind-address=127.0.0.1", f"--secure-port={scheduler}", "--leader-elect=false")

    def start_nodes(self):
        api = Api(self.folder)
        # /tmp/hostpath_pv/ID is where the controller makes the folder of such a volume; it removes it with its claim.
        api.request("POST", "/apis/storage.k8s.io/v1/storageclasses", {
            "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "kubernetes.io/host-path", "allowVolumeExpansion": True,
        })
        for number in range(self.nodes):
            api.request("POST", "/api/v1/nodes", simulated.node(number))
        self.spawn("nodes", [sys.executable, __file__, "simulate", self.folder])
        self.wait_for("the nodes", lambda: all(self.is_schedulable(node) for node in api.request("GET", "/api/v1/nodes")["items"]))
        # A pod is refused until the controller has made its namespace's account.
        self.wait_for("the account `default`",
                      lambda: api.request("GET", "/api/v1/namespaces/default/serviceaccounts/default")["metadata"])

    @staticmethod
    def is_ready(thing):
        """A node or a pod."""
        return any(c["type"] == "Ready" and c["status"] == "True" for c in thing["status"].get("conditions", []))

    def is_schedulable(self, node):
        """The controller has seen that it is ready: a new node has the taint not-ready."""
        return self.is_ready(node) and not node["spec"].get("taints")

    def start(self, name, *arguments):
        self.spawn(name, ["nice", "-n", "5", self.programs[name], *map(str, arguments)])

    def spawn(self, name, command):
        with open(self.folder / f"{name}.log", "w") as log:
            # A session of its own: Ctrl-C in a terminal ends the tests, which then stop the cluster in order.
            process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                       start_new_session=True, cwd=self.folder)
        self.commands[name] = (command, process)
        pids = self.folder / "pids.json"
        running = json.loads(pids.read_text()) if pids.exists() else []
        pids.write_text(json.dumps([*running, [name, process.pid]]))

    def kill(self, name):
        """Ends a process as a power cut does; `restart` starts it again."""
        _, process = self.commands[name]
        process.kill()
        process.wait()
        pids = self.folder / "pids.json"
        pids.write_text(json.dumps([entry for entry in json.loads(pids.read_text()) if entry[1] != process.pid]))

    def restart(self, name):
        self.spawn(name, self.commands[name][0])

    def wait_for(self, what, is_there):
        deadline = time.monotonic() + START_LIMIT_SECS
        problem = "no answer"
        while time.monotonic() < deadline:
            try:
                if is_there():
                    return
            except (OSError, ValueError, KeyError) as e:
                problem = e
            for name, pid in json.loads((self.folder / "pids.json").read_text()):
                if not alive(pid, self.folder):
                    log = (self.folder / f"{name}.log").read_text()[-2000:]
                    raise SystemExit(f"cluster: {name} ended while starting:\n{log}")
            time.sleep(0.2)
        raise SystemExit(f"cluster: {what} did not come up in {START_LIMIT_SECS} s ({problem}); the logs are in {self.folder}")

    def down(self):
        pids = self.folder / "pids.json"
        if not pids.exists():
            return
        # Last started, first stopped: nothing logs errors about an API server that is gone.
        for name, pid in reversed(json.loads(pids.read_text())):
            stop(pid, self.folder)
        pids.unlink()


def alive(pid, folder):
    """Whether the process runs and is one of this folder: a number that the system gave to another process is left alone."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return state != "Z" and os.readlink(f"/proc/{pid}/cwd") == str(folder)
    except OSError:
        return False


def stop(pid, folder):
    for sent, limit_secs in ((signal.SIGTERM, 10), (signal.SIGKILL, 5)):
        if not alive(pid, folder):
            break
        os.kill(pid, sent)
        deadline = time.monotonic() + limit_secs
        while alive(pid, folder) and time.monotonic() < deadline:
            time.sleep(0.05)
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass  # `down` of another process than `up`'s


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("up", "down", "simulate"):
        sub = commands.add_parser(name)
        sub.add_argument("folder")
        if name == "up":
            sub.add_argument("--nodes", type=int, default=3)
            sub.add_argument("--address", default="127.0.0.1")
    sub = commands.add_parser("run")
    sub.add_argument("--nodes", type=int, default=3)
    sub.add_argument("program", nargs="+")
    given = parser.parse_args()
    if given.command == "up":
        started = time.monotonic()
        Cluster(given.folder, given.nodes, given.address).up()
        print(f"cluster: ready after {time.monotonic() - started:.1f} s; export KUBECONFIG={given.folder}/kubeconfig")
    elif given.command == "down":
        Cluster(given.folder).down()
    elif given.command == "simulate":
        simulated.Simulation(Api(given.folder)).run()
    else:
        with tempfile.TemporaryDirectory(prefix="helios-kube.") as folder, Cluster(folder, given.nodes) as cluster:
            environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
            sys.exit(subprocess.run(given.program, env=environment, check=False).returncode)


if __name__ == "__main__":
    main()
