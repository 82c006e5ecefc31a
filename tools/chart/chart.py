"""Renders chart/helios, for the programs and tests beside this file."""

import functools
import os
import pathlib
import shutil
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "chart/helios"
TIERS = ["small", "medium", "large", "xl"]
STORAGES = ["single-dc", "multi-dc", "cloud-s3", "hybrid"]
# The C parser is ten times as fast, where PyYAML was built with it.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# A default of `=` in a CRD's schema is YAML 1.1's value tag, which PyYAML does not construct.
LOADER.add_constructor("tag:yaml.org,2002:value", lambda loader, node: node.value)


def helm():
    """The helm of tools/components/versions."""
    components = pathlib.Path(os.environ.get("HELIOS_COMPONENTS", pathlib.Path.home() / ".cache/helios/components"))
    for line in (ROOT / "tools/components/versions").read_text().splitlines():
        if line.startswith("helm "):
            path = components / f"helm-{line.split()[1]}" / "helm"
            if path.exists():
                return str(path)
    found = shutil.which("helm")
    if found:
        return found
    raise SystemExit("chart: helm is not installed: run `tools/components/install.sh helm`")


class Refused(Exception):
    """What helm said when it refused the values."""


def template(*files, values=None, show_only=None, options=(), release="helios"):
    """The rendered text with values files by their short names (`xl`, `storage-hybrid`) and a dictionary of values on top."""
    command = [helm(), "template", release, str(CHART), "--namespace", "helios-system", *options]
    for name in files:
        command += ["-f", str(CHART / f"values-{name}.yaml")]
    if values is not None:
        command += ["-f", "-"]
    for path in show_only or []:
        command += ["--show-only", path]
    done = subprocess.run(command, input=yaml.safe_dump(values) if values is not None else None, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Refused("\n".join(line for line in done.stderr.splitlines() if not line.startswith("level=INFO")))
    return done.stdout


@functools.lru_cache(maxsize=64)
def text_of(*files):
    return template(*files)


def objects(*files, values=None, release="helios"):
    """The rendered objects."""
    text = template(*files, values=values, release=release) if values is not None or release != "helios" else text_of(*files)
    return [o for o in yaml.load_all(text, LOADER) if o]


def default_values():
    return yaml.load((CHART / "values.yaml").read_text(), LOADER)


def leaves(values, path=()):
    """Every key that holds no further keys, as (path, value). An empty map is a leaf: users fill it."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def nested(path, value):
    """The dictionary that sets this one value."""
    for key in reversed(path):
        value = {key: value}
    return value


def pod_specs(rendered):
    """(object, pod template) of everything that makes pods, the operators' resources included where they name containers."""
    for o in rendered:
        spec = o.get("spec", {})
        kind = o["kind"]
        if kind == "Pod":
            yield o, {"metadata": o["metadata"], "spec": spec}
        elif kind in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
            yield o, spec["template"]
        elif kind == "CronJob":
            yield o, spec["jobTemplate"]["spec"]["template"]
        elif kind in ("ClickHouseInstallation", "ClickHouseKeeperInstallation"):
            for pod in spec["templates"]["podTemplates"]:
                yield o, pod
