#!/usr/bin/env python3
"""`helm lint --strict` with every tier and storage, and the files that follow from values.yaml."""

import subprocess
import sys

import chart
import generate


def main():
    failed = 0
    for tier in chart.TIERS:
        for storage in chart.STORAGES:
            files = [f"-f{chart.CHART}/values-{name}.yaml" for name in (tier, f"storage-{storage}")]
            done = subprocess.run([chart.helm(), "lint", "--strict", "--quiet", str(chart.CHART), *files], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                failed += 1
                print(f"{tier}, {storage}:\n{done.stdout}{done.stderr}", file=sys.stderr)
    print(f"helm lint: {len(chart.TIERS) * len(chart.STORAGES) - failed} of {len(chart.TIERS) * len(chart.STORAGES)} combinations pass")
    for path, content in generate.files():
        if path.read_text() != content:
            failed += 1
            print(f"{path.relative_to(chart.ROOT)} is not up to date: run make chart-docs", file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
