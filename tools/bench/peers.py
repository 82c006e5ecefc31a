"""Helios beside goflow2, goflow2 with Kafka and a consumer, and nfcapd: flows per CPU second and loss.

One capture (IPFIX of `helios simulate`) is sent by `helios replay` at one rate to one pipeline after the other, on the same CPUs.
CPU is what the pipeline's processes used while they worked, start-up left out; the generator and the database are not in it.
[`rates`](rates.py) then measures Helios beside nfcapd at four rates, which goflow2 does not take.

    make bench SUITE=peers                        about 15 minutes
    BENCH_PEERS_RATE=1000 make bench SUITE=peers  another rate of the capture, in datagrams per second
    BENCH_PEERS_ONLY=rates make bench SUITE=peers the four rates alone, 10 minutes
    BENCH_BEFORE=old/helios ...                   another helios beside this one, at the four rates
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from processes import ROOT, free_port, get, wait_for

from . import rates, report
from .procs import Metrics, Process, engine, helios_binary, query

CACHE = Path(os.environ.get("BENCH_PEERS", ROOT / ".cache/peers"))
RATE = int(os.environ.get("BENCH_PEERS_RATE", "2000"))
FLOWS = int(os.environ.get("BENCH_PEERS_FLOWS", "800000"))
EXPORTERS = 50

# What goflow2's own example stores of a flow, as ClickHouse reads it from its protobuf messages.
MESSAGE = """syntax = "proto3";
message FlowMessage {
  uint64 time_received_ns = 110; uint64 sampling_rate = 3; bytes sampler_address = 11;
  uint64 time_flow_start_ns = 111; uint64 time_flow_end_ns = 112; uint64 bytes = 9; uint64 packets = 10;
  bytes src_addr = 6; bytes dst_addr = 7; uint32 etype = 30; uint32 proto = 20; uint32 src_port = 21; uint32 dst_port = 22;
  uint32 in_if = 18; uint32 out_if = 19; uint32 src_as = 14; uint32 dst_as = 15; uint32 tcp_flags = 26; uint32 ip_tos = 23;
}"""
TABLE = """CREATE TABLE goflow2.flows (
  time_received_ns UInt64, sampling_rate UInt64, sampler_address String, time_flow_start_ns UInt64, time_flow_end_ns UInt64,
  bytes UInt64, packets UInt64, src_addr String, dst_addr String, etype UInt32, proto UInt32, src_port UInt32, dst_port UInt32,
  in_if UInt32, out_if UInt32, src_as UInt32, dst_as UInt32, tcp_flags UInt32, ip_tos UInt32
) ENGINE = MergeTree ORDER BY time_received_ns"""
KAFKA = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={folder}/log
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
"""


class Capture:
    def __init__(self, folder: Path):
        self.file = folder / "flows.pcap"
        summary = folder / "capture.json"
        command = [
            helios_binary(), "simulate", "--protocol", "ipfix", "--exporters", str(EXPORTERS), "--count", str(FLOWS),
            "--rate", "100k", "--write", self.file, "--summary-json", summary,
        ]  # fmt: skip
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.flows = json.loads(summary.read_text())["total"]["flows"]

    def replay(self, target: str):
        command = [helios_binary(), "replay", self.file, "--target", target, "--rate", str(RATE), "--keep-sources"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def settled(what: str, count, seconds: float = 60.0) -> int:
    """Waits until a count stands still for three seconds."""
    last, since, end = -1, time.monotonic(), time.monotonic() + seconds
    while time.monotonic() < end:
        now = count()
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > 3:
            return last
        time.sleep(0.25)
    raise SystemExit(f"bench: {what} still changes after {seconds:.0f} s")


def measured(capture: Capture, name: str, key: str, target: str, processes: list[Process], count) -> dict:
    before = [process.cpu_total() for process in processes]
    capture.replay(target)
    arrived = settled(name, count, 300)
    used = [process.cpu_total() - start for process, start in zip(processes, before, strict=True)]
    parts = ", ".join(f"{process.name} {seconds:.2f}" for process, seconds in zip(processes, used, strict=True))
    row = {
        "name": name, "key": key, "sent": capture.flows, "arrived": arrived, "cpu": sum(used), "parts": parts,
        "per_cpu": arrived / max(sum(used), 0.01), "helios": False,
    }  # fmt: skip
    return row


def show(row: dict):
    print(
        f"{row['name']}: {row['arrived']} of {row['sent']} arrived, {row['cpu']:.2f} CPU s ({row['parts']}), "
        f"{row['per_cpu']:.0f} flows per CPU second",
        flush=True,
    )


def helios(capture: Capture, folder: Path, clickhouse: str, name: str, key: str, compression: str = "lz4") -> dict:
    flows, admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    command = [helios_binary(), "run", "--listen", flows, "--clickhouse-url", clickhouse, "--set", f"admin.listen={admin}"]
    command += ["--set", f"clickhouse.compression={compression}"]
    with Process("helios", command, folder / f"{key}.log") as process:
        wait_for("helios to be ready", lambda: get(f"http://{admin}/readyz"))
        stored = lambda: int(Metrics(f"http://{admin}/metrics").sum("helios_pipeline_rows_stored_total"))  # noqa: E731
        return {**measured(capture, name, key, flows, [process], stored), "helios": True}


def goflow2(folder: Path, port: int, admin: int, transport: list[str]) -> Process:
    command = [next(CACHE.glob("goflow2-*/goflow2")), "-listen", f"netflow://127.0.0.1:{port}", "-addr", f"127.0.0.1:{admin}", "-format", "bin"]
    process = Process("goflow2", [*command, *transport], folder / "goflow2.log")
    wait_for("goflow2", lambda: get(f"http://127.0.0.1:{admin}/metrics"))
    return process


def goflow2_file(capture: Capture, folder: Path) -> dict:
    port, admin = free_port(), free_port()
    with goflow2(folder, port, admin, ["-transport", "file", "-transport.file", "/dev/null"]) as process:
        records = lambda: int(Metrics(f"http://127.0.0.1:{admin}/metrics").sum("goflow2_flow_process_nf_delay_seconds_count"))  # noqa: E731
        return measured(capture, "goflow2, protobuf to /dev/null", "goflow2_file", f"127.0.0.1:{port}", [process], records)


def nfcapd(capture: Capture, folder: Path) -> dict:
    process, target = rates.nfcapd([], folder)
    with process:
        written = lambda: sum(file.stat().st_size for file in (folder / "files").iterdir())  # noqa: E731
        row = measured(capture, "nfcapd to files", "nfcapd", target, [process], written)
    row["arrived"] = rates.in_files(folder)
    row["per_cpu"] = row["arrived"] / max(row["cpu"], 0.01)
    return row


class Kafka:
    def __init__(self, folder: Path):
        broker, controller = free_port(), free_port()
        self.address = f"127.0.0.1:{broker}"
        self.jars = f"{next(CACHE.glob('kafka-*/libs'))}/*"
        properties = folder / "server.properties"
        properties.write_text(KAFKA.format(broker=broker, controller=controller, folder=folder))
        identity = self.tool("kafka.tools.StorageTool", "random-uuid").strip().splitlines()[-1]
        self.tool("kafka.tools.StorageTool", "format", "-t", identity, "-c", properties)
        self.process = Process("kafka", [*self.java("-Xmx1g"), "kafka.Kafka", properties], folder / "kafka.log")
        topic = ["org.apache.kafka.tools.TopicCommand", "--bootstrap-server", self.address]
        wait_for("kafka", lambda: socket.create_connection(("127.0.0.1", broker), 1))
        self.tool(*topic, "--create", "--topic", "flows", "--partitions", "2", "--replication-factor", "1")

    def java(self, heap="-Xmx256m") -> list[str]:
        return ["java", heap, "-cp", self.jars, "-Dorg.slf4j.simpleLogger.defaultLogLevel=info"]

    def tool(self, *arguments) -> str:
        done = subprocess.run([*self.java(), *map(str, arguments)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"bench: {arguments[0]} failed: {done.stderr}")
        return done.stdout


def goflow2_kafka(capture: Capture, folder: Path, clickhouse: str) -> dict:
    query(clickhouse, "CREATE DATABASE IF NOT EXISTS goflow2")
    query(clickhouse, TABLE)
    kafka = Kafka(folder)
    port, admin = free_port(), free_port()
    consume = [sys.executable, "-m", "bench.consumer", kafka.address, clickhouse, folder / "message.proto"]
    (folder / "message.proto").write_text(MESSAGE)
    transport = ["-transport", "kafka", "-transport.kafka.brokers", kafka.address, "-transport.kafka.topic", "flows", "-transport.kafka.flushfreq", "200ms"]
    with kafka.process, goflow2(folder, port, admin, transport) as collector:
        with Process("consumer", consume, folder / "consumer.log", {"PYTHONPATH": str(ROOT / "tools")}) as consumer:
            rows = lambda: int(query(clickhouse, "SELECT count() FROM goflow2.flows"))  # noqa: E731
            kcat = wait_for("the consumer", lambda: children(consumer))
            processes = [collector, kafka.process, consumer, kcat]
            return measured(capture, "goflow2 -> Kafka -> consumer -> ClickHouse", "goflow2_kafka", f"127.0.0.1:{port}", processes, rows)


class Child(Process):
    """A process that another one started."""

    def __init__(self, name: str, pid: int):
        self.name = name
        self.child = type("Pid", (), {"pid": pid})


def children(process: Process):
    pids = Path(f"/proc/{process.child.pid}/task/{process.child.pid}/children").read_text().split()
    return Child("kcat", int(pids[0])) if pids else None


def main():
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="helios-peers-")))
        process, clickhouse = engine(folder)
        stack.enter_context(process)
        report.write_rates(ROOT, rates.measure(folder, clickhouse), rates.SECONDS, rates.EXPORTERS)
        if os.environ.get("BENCH_PEERS_ONLY") == "rates":
            return
        capture = Capture(folder)
        rows = []
        sink_port = free_port()
        sink = [sys.executable, "-m", "bench.sink", "--port", sink_port, "--engine", clickhouse]
        with Process("sink", sink, folder / "sink.log", {"PYTHONPATH": str(ROOT / "tools")}):
            wait_for("the sink", lambda: get(f"http://127.0.0.1:{sink_port}/ping"))
            sink_url = f"http://127.0.0.1:{sink_port}"
            for compression in ("lz4", "none"):
                name = f"Helios to a sink that reads, {compression}"
                rows.append(helios(capture, folder, sink_url, name, f"helios_{compression}", compression))
        rows.append(goflow2_file(capture, folder))
        rows.append(nfcapd(capture, folder))
        rows.append(helios(capture, folder, clickhouse, "Helios -> ClickHouse", "helios_clickhouse"))
        rows.append(goflow2_kafka(capture, folder, clickhouse))
    for row in rows:
        show(row)
    report.write_peers(ROOT, rows, capture.flows, RATE)


if __name__ == "__main__":
    main()
