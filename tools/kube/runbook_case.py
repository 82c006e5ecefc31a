"""What tests of the runbook operator begin with: an API server with the definitions, policies and Roles, people, and the operator's
Deployment as the chart has it.

No node is simulated: a pod of an executor waits until the test runs its command as a process, with the pod's arguments and
environment and with a token of its account. The devices are the practice network's, over gNMI with TLS.
"""

import json
import pathlib
import subprocess
import tempfile
import time
import unittest
import urllib.error

import cluster
import runbook_rig

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMESPACE = "helios-automation"
KINDS = {"Runbook": "runbooks", "RunbookExecution": "runbookexecutions", "RunbookApproval": "runbookapprovals"}
# A policy counts from when the API server has seen it, not from when it was stored.
POLICY_LIMIT_SECS = 60


def audit_table():
    """The statement that makes the table of audit entries, as the engine takes it: one, without comments and semicolon."""
    lines = (ROOT / "deploy/runbooks/audit.sql").read_text().splitlines()
    return "\n".join(line for line in lines if not line.startswith("--")).rstrip().rstrip(";")


def runbook(name, **spec):
    steps = [{"name": "wait", "type": "wait", "config": {"duration": "1s"}}]
    return {"apiVersion": "helios.io/v1alpha1", "kind": "Runbook", "metadata": {"name": name}, "spec": {"steps": steps, **spec}}


def execution(name, **spec):
    return {"apiVersion": "helios.io/v1alpha1", "kind": "RunbookExecution", "metadata": {"name": name},
            "spec": {"runbookRef": {"name": "interface-bounce"}, **spec}}


def approval(name, uid, **spec):
    return {"apiVersion": "helios.io/v1alpha1", "kind": "RunbookApproval", "metadata": {"name": name},
            "spec": {"executionRef": {"name": "asked", "uid": uid}, "runbookRef": {"name": "interface-bounce"},
                     "decision": "approve", **spec}}


class Case(unittest.TestCase):
    """One API server; alice requests, bob approves, carol writes runbooks, dave may do nothing."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="helios-kube.")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.cluster = cluster.Cluster(cls.folder.name, nodes=0)
        cls.addClassCleanup(cls.cluster.down)
        cls.cluster.up()
        cls.kubectl("apply", "--server-side", "-f", ROOT / "runbooks/crds")
        cls.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd/runbooks.helios.io",
                    "crd/runbookexecutions.helios.io", "crd/runbookapprovals.helios.io")
        cls.kubectl("create", "namespace", NAMESPACE)
        for file in ("policies.yaml", "roles.yaml"):
            cls.kubectl("apply", "-f", ROOT / "deploy/runbooks" / file)
        for role, user in (("requester", "alice"), ("approver", "bob"), ("author", "carol")):
            cls.kubectl("create", "rolebinding", user, "-n", NAMESPACE, f"--role=helios-runbook-{role}", f"--user={user}")
        # An approver by right, who lacks the verb: only the policy keeps him out.
        cls.kubectl("create", "role", "creator", "-n", NAMESPACE, "--verb=create", "--resource=runbookapprovals.helios.io")
        cls.kubectl("create", "rolebinding", "dave", "-n", NAMESPACE, "--role=creator", "--user=dave")
        # An approver who requests as well: rights do not keep these two apart.
        for role in ("requester", "approver"):
            cls.kubectl("create", "rolebinding", f"frank-{role}", "-n", NAMESPACE, f"--role=helios-runbook-{role}", "--user=frank")
        cls.kubectl("create", "rolebinding", "erin", "-n", NAMESPACE, "--role=helios-runbook-approver", "--user=erin")
        cls.install_operator()
        cls.wait_for_policies()
        cls.api = cluster.Api(cls.folder.name)
        cls.rig = runbook_rig.Rig(cls.kubectl, cls.cluster, NAMESPACE, cls.folder.name, cls.lab_folder())
        cls.addClassCleanup(cls.rig.close)

    @classmethod
    def lab_folder(cls):
        """A lab that runs already; a network of its own otherwise."""
        return None

    @classmethod
    def install_operator(cls):
        """Accounts, rights and the Deployment of the chart; no node runs its pod."""
        done = subprocess.run([cluster.program("helm"), "template", "helios", str(ROOT / "chart/helios"), "--namespace", "helios-system",
                               "--show-only", "templates/operator.yaml", "--show-only", "charts/automation/templates/operator.yaml"],
                              capture_output=True, text=True, check=True)
        cls.kubectl("apply", "-f", "-", text=done.stdout)

    @classmethod
    def kubectl(cls, *arguments, user=None, text=None, check=True):
        who = ["--as", user] if user else []
        command = [cluster.program("kubectl"), "--kubeconfig", cls.cluster.kubeconfig, *who, *arguments]
        done = subprocess.run(list(map(str, command)), input=text, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(map(str, arguments))}: {done.stderr}")
        return done

    @classmethod
    def create(cls, item, user=None):
        """The API server's words where it refuses, otherwise nothing."""
        text = item if isinstance(item, str) else json.dumps(item)
        return cls.kubectl("create", "-n", NAMESPACE, "--validate=strict", "-f", "-", user=user, text=text, check=False).stderr

    @classmethod
    def wait_for_policies(cls):
        deadline = time.monotonic() + POLICY_LIMIT_SECS
        lying = [(execution("lie", requestedBy="somebody"), "requestedBy"), (approval("lie", "u", approver="somebody"), "approver")]
        while lying:
            item, field = lying[0]
            dry = cls.kubectl("create", "-n", NAMESPACE, "--dry-run=server", "-f", "-", text=json.dumps(item), check=False).stderr
            if field in dry:
                lying.pop(0)
            elif time.monotonic() > deadline:
                raise AssertionError(f"the policy on {field} does not come into force: {dry}")
            else:
                time.sleep(0.5)

    def patch(self, name, patch, user="alice", **more):
        subresource = [f"--subresource={more['subresource']}"] if more else []
        return self.kubectl("patch", "rbx", name, "-n", NAMESPACE, "--type=merge", "-p", json.dumps(patch), *subresource,
                            user=user, check=False).stderr

    def agree(self, execution, name, user, decision="approve"):
        item = self.rig.get("rbx", execution)
        return self.create({"apiVersion": "helios.io/v1alpha1", "kind": "RunbookApproval", "metadata": {"name": name}, "spec": {
            "executionRef": {"name": execution, "uid": item["metadata"]["uid"]}, "runbookRef": item["spec"]["runbookRef"],
            "approver": user, "decision": decision}}, user=user)

    # The same over HTTP, for tests with many objects: no process for each.

    def make(self, item, user):
        """Creates; an error is the test's."""
        path = f"/apis/helios.io/v1alpha1/namespaces/{NAMESPACE}/{KINDS[item['kind']]}"
        return self.api.request("POST", path, item, user=user)

    def remove(self, kind, name, user=None):
        return self.api.request("DELETE", f"/apis/helios.io/v1alpha1/namespaces/{NAMESPACE}/{KINDS[kind]}/{name}", user=user)

    def cancel(self, name, user="alice"):
        path = f"/apis/helios.io/v1alpha1/namespaces/{NAMESPACE}/runbookexecutions/{name}"
        return self.api.request("PATCH", path, {"spec": {"cancel": True}}, content="application/merge-patch+json", user=user)

    def ask(self, name, book, user="alice", **parameters):
        """Asks for one run of a runbook."""
        return self.make(execution(name, runbookRef={"name": book}, requestedBy=user, parameters=parameters), user)

    def say_yes(self, name, user="bob"):
        """Waits until the execution waits for people, and agrees."""
        self.rig.reach(name, "AwaitingApproval")
        self.vote(name, user)

    def vote(self, name, user, decision="approve"):
        item = self.rig.get("rbx", name)
        vote = approval(f"{name}-{user}", item["metadata"]["uid"], approver=user, decision=decision)
        vote["spec"].update(executionRef={"name": name, "uid": item["metadata"]["uid"]}, runbookRef=item["spec"]["runbookRef"])
        self.make(vote, user)

    def jobs_of(self, name):
        return [job["metadata"]["name"] for job in self.rig.get("jobs")["items"] if job["metadata"]["labels"].get("helios.io/execution") == name]

    def closed(self, name):
        """The status once the operator is done with the execution."""
        return runbook_rig.wait_for(f"end of {name}", lambda: (status := self.rig.status(name)).get("closed") and status)

    def events_of(self, name, event):
        """The steps of the audit entries of one kind; an entry that was handed out twice is one."""
        _, entries = self.rig.audit()
        seen = {entry["number"]: entry["step"] for entry in entries if entry["execution"] == name and entry["event"] == event}
        return [seen[number] for number in sorted(seen)]

    def refused(self, do):
        """The API server's words."""
        with self.assertRaises(urllib.error.HTTPError) as caught:
            do()
        return json.loads(caught.exception.read())["message"]
