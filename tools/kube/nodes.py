"""What a cluster without machines lacks: nodes whose pods become ready, and addresses for Services of type LoadBalancer.

A pod that the scheduler puts on such a node is Running and Ready at once, or Succeeded if a Job owns it; a pod that is to be
deleted is gone at once. Nothing runs. Nodes that do not carry the label LABEL are left alone, with their pods.
"""

import datetime
import time
import urllib.error

LABEL = {"helios.io/simulated": "true"}
# More than any test asks for: the scheduler places by requests.
CAPACITY = {"cpu": "256", "memory": "2Ti", "pods": "500", "ephemeral-storage": "10Ti"}
PATCH = "application/merge-patch+json"
# The node controller calls a node lost after 50 s without a sign.
SIGN_SECS = 10
# How soon a change of a pod is seen.
PERIOD_SECS = 0.3


def now():
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(kind, status="True", **more):
    return {"type": kind, "status": status, "lastTransitionTime": now(), **more}


def node(number):
    """One of three zones in turn."""
    return {
        "metadata": {"name": f"node-{number}", "labels": {
            **LABEL, "kubernetes.io/hostname": f"node-{number}", "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
            "topology.kubernetes.io/zone": f"zone-{number % 3}"}},
        "status": {"capacity": CAPACITY, "allocatable": CAPACITY, "conditions": [condition("Ready", lastHeartbeatTime=now())]},
    }


def status_of(pod, address):
    """The status that a kubelet would report for a pod that has started."""
    done = any(owner["kind"] == "Job" for owner in pod["metadata"].get("ownerReferences", []))
    state = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now(), "finishedAt": now()}} if done else {"running": {"startedAt": now()}}
    ready = "False" if done else "True"
    return {
        "phase": "Succeeded" if done else "Running", "startTime": now(), "podIP": address, "podIPs": [{"ip": address}],
        "conditions": [condition("PodScheduled"), condition("Initialized"), condition("ContainersReady", ready), condition("Ready", ready)],
        "containerStatuses": [{"name": c["name"], "image": c["image"], "imageID": "", "ready": not done, "started": not done, "restartCount": 0, "state": state}
                              for c in pod["spec"]["containers"]],
    }


class Simulation:
    def __init__(self, api):
        self.api = api
        self.addresses = {}
        self.signed = 0.0

    def address(self, network, key):
        """One for each key, in the order in which they come."""
        return self.addresses.setdefault((network, *key), network.format(len(self.addresses) // 250, len(self.addresses) % 250 + 1))

    def nodes(self):
        found = [n for n in self.api.request("GET", "/api/v1/nodes")["items"] if LABEL.items() <= n["metadata"].get("labels", {}).items()]
        if time.monotonic() - self.signed > SIGN_SECS:
            for n in found:
                self.api.request("PATCH", f"/api/v1/nodes/{n['metadata']['name']}/status", {"status": {"conditions": [
                    {**condition("Ready", lastHeartbeatTime=now()), "lastTransitionTime": n["status"]["conditions"][0]["lastTransitionTime"]}]}}, PATCH)
            self.signed = time.monotonic()
        return {n["metadata"]["name"] for n in found}

    def pods(self, nodes):
        for pod in self.api.request("GET", "/api/v1/pods")["items"]:
            if pod["spec"].get("nodeName") not in nodes:
                continue
            name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
            path = f"/api/v1/namespaces/{namespace}/pods/{name}"
            if "deletionTimestamp" in pod["metadata"]:
                self.attempt("DELETE", path, {"gracePeriodSeconds": 0})
            elif pod["status"]["phase"] == "Pending":
                status = status_of(pod, self.address("10.244.{}.{}", (namespace, name)))
                self.attempt("PATCH", f"{path}/status", {"status": status}, PATCH)

    def load_balancers(self):
        for service in self.api.request("GET", "/api/v1/services")["items"]:
            if service["spec"].get("type") != "LoadBalancer" or service["status"].get("loadBalancer"):
                continue
            name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
            # RFC 2544's network for benchmarks: nobody's address.
            ingress = [{"ip": self.address("198.18.{}.{}", (namespace, name)), "ipMode": "VIP"}]
            self.attempt("PATCH", f"/api/v1/namespaces/{namespace}/services/{name}/status", {"status": {"loadBalancer": {"ingress": ingress}}}, PATCH)

    def attempt(self, *request):
        """What was deleted or changed meanwhile is seen again in the next round."""
        try:
            self.api.request(*request)
        except urllib.error.HTTPError as e:
            print(f"{request[0]} {request[1]}: {e}", flush=True)

    def run(self):
        """Until the process is ended."""
        while True:
            try:
                self.pods(self.nodes())
                self.load_balancers()
            except OSError as e:
                print(e, flush=True)
            time.sleep(PERIOD_SECS)
