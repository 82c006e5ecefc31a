"""Programs that labs and tests run on loopback: where they are, free ports, starting, waiting for conditions, ending."""

import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
COMPONENTS = pathlib.Path(os.environ.get("HELIOS_COMPONENTS") or pathlib.Path.home() / ".cache/helios/components")
START_S = 300
"""A program needs seconds to start on an idle machine, and minutes on one that compiles at the same time."""
STOP_S = 30


def fail(text):
    sys.exit(f"{pathlib.Path(sys.argv[0]).stem}: {text}")


def component(name):
    """The program at the version that tools/components/versions names, or else the one of the system."""
    for line in (ROOT / "tools/components/versions").read_text().splitlines():
        fields = line.split()
        if fields and fields[0] == name and (path := COMPONENTS / f"{name}-{fields[1]}" / name).exists():
            return str(path)
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    return path or fail(f"{name} is not installed: run `tools/components/install.sh {name}`")


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url, body=None, timeout=300):
    """The text that a GET request gives, or a POST request with a body."""
    data = body.encode() if isinstance(body, str) else body
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=timeout) as answer:
        return answer.read().decode()


def answers(url):
    try:
        get(url, timeout=5)
        return True
    except OSError:
        return False


def wait_for(what, condition, seconds=60.0, log=None, meanwhile=lambda: None, pause=0.05):
    """Looks until `condition` gives something true, and returns that; an OSError is a no. `meanwhile` runs before each look, to
    end the wait early. Ends the script after so many seconds, with the end of the file `log`."""
    deadline, refusal = time.monotonic() + seconds, ""
    while True:
        meanwhile()
        try:
            if found := condition():
                return found
            refusal = ""
        except OSError as error:
            refusal = f" ({error})"
        if time.monotonic() > deadline:
            last = f"\n{log.read_text(errors='replace')[-3000:]}" if log else ""
            fail(f"waited {seconds:.0f} s in vain for {what}{refusal}{last}")
        time.sleep(pause)


def engine_python():
    path = os.environ.get("HELIOS_ENGINE_PYTHON") or str(ROOT / ".cache/engine/bin/python")
    return path if pathlib.Path(path).exists() else fail(f"there is no {path}: run `make engine`")


def engine_command(data, port_file):
    """The ClickHouse engine behind ClickHouse's HTTP interface, on a port that it writes to a file; and its variables."""
    command = [engine_python(), "-m", "clickhouse_http", "--path", data, "--port", "0", "--port-file", port_file]
    return command, {"PYTHONPATH": str(ROOT / "tools/clickhouse-http")}


class Processes:
    """The programs of one lab. Each has a log in the folder."""

    def __init__(self, folder):
        self.folder = folder
        self.started = []
        self.stopping = threading.Event()
        """Set by signals: whoever waits for a condition gives up."""

    def start(self, name, *command, **variables):
        with open(self.folder / f"{name}.log", "wb") as log:
            # In sessions of their own: Ctrl-C is for the script, which ends them in order.
            process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder,
                                       env={**os.environ, **variables}, start_new_session=True)
        self.started.append((name, process))
        return process

    def write(self, name, text, mode=0o644):
        """Writes a file into the folder; its path."""
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def engine(self):
        """Starts the ClickHouse engine; its address, once it answers."""
        port_file = self.folder / "clickhouse.port"
        command, variables = engine_command(self.folder / "clickhouse", port_file)
        self.start("clickhouse", *command, **variables)
        port = self.wait_for("the start of the ClickHouse engine", lambda: port_file.read_text().strip())
        return f"http://127.0.0.1:{port}"

    def look(self):
        """Ends the script if a program has ended, or it is to stop."""
        if self.stopping.is_set():
            raise KeyboardInterrupt
        for name, process in self.started:
            if process.poll() is not None:
                fail(f"{name} ended with {process.returncode}:\n{(self.folder / f'{name}.log').read_text(errors='replace')[-3000:]}")

    def wait_for(self, what, condition, seconds=START_S):
        try:
            return wait_for(what, condition, seconds, meanwhile=self.look)
        except SystemExit as given_up:
            sys.exit(f"{given_up}\nThe logs are in {self.folder}")

    def stop(self):
        """Ends all programs, the last one first, and waits for them."""
        for _, process in reversed(self.started):
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + STOP_S
        for name, process in reversed(self.started):
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                print(f"{name} did not end within {STOP_S} s and is killed", file=sys.stderr)
                process.kill()
                process.wait()
        self.started.clear()
