"""What the load tests found, as tables in BENCHMARKS.md and plots beside it."""

import os
import platform
import re
from pathlib import Path

from .plot import Line, svg

COLUMNS = ["receive + decode", "enrich", "block + compress", "send"]


def step_line(step) -> str:
    losses = ", ".join(f"{count} at {place}" for place, count in step.lost.items()) or "nothing lost"
    return (
        f"{step.target}, {step.compression}: {step.offered / 1e3:.0f} k flows/s offered, {step.stored} of {step.sent} stored, "
        f"{losses}, {step.cpu_total / max(step.stored, 1) * 1e9:.0f} ns of CPU per flow, "
        f"{step.resident / 2**20:.0f} MiB, p99 {step.p99 * 1e3:.0f} ms, imbalance {step.imbalance:g}"
    )


def machine() -> str:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return f"{os.cpu_count()} CPUs ({model[1] if model else platform.machine()}), Linux {platform.release()}"


def replace(page: Path, mark: str, text: str):
    """Puts `text` between the page's marks of this name."""
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    old = page.read_text()
    if begin not in old or end not in old:
        raise SystemExit(f"bench: {page} has no marks {begin} and {end}")
    head, rest = old.split(begin, 1)
    page.write_text(head + begin + "\n" + text.strip() + "\n" + end + rest.split(end, 1)[1])


def steps_table(steps) -> str:
    head = ["target", "compression", "offered/s", "received", "stored", "lost where", *[f"{name}" for name in COLUMNS], "CPU s/M flows", "RSS MiB", "p50 ms", "p99 ms"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for step in steps:
        share = lambda count: f"{count / max(step.sent, 1):.2%}"  # noqa: E731
        losses = "<br>".join(f"{count:,} {place}" for place, count in step.lost.items()) or "-"
        cells = [
            step.target, step.compression, f"{step.offered / 1e3:,.0f} k", share(step.received), share(step.stored), losses,
            *[f"{step.per_million(name):.2f}" for name in COLUMNS],
            f"{step.cpu_total / max(step.stored, 1) * 1e6:.2f}", f"{step.resident / 2**20:,.0f}", f"{step.p50 * 1e3:,.0f}", f"{step.p99 * 1e3:,.0f}",
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_e2e(root: Path, steps, figures: dict, seconds: float, exporters: int):
    picture = root / "docs/bench-e2e.svg"
    lines = [Line("all stored", [(0, 0), (top := max(step.offered for step in steps), top)], dashed=True)]
    for target, compression in dict.fromkeys((step.target, step.compression) for step in steps):
        points = [(s.offered, s.stored / s.seconds) for s in steps if (s.target, s.compression) == (target, compression)]
        lines.append(Line(f"{target}, {compression}", points))
    picture.write_text(svg("Flows stored by flows offered", "flows/s offered", "flows/s stored", lines))
    share = figures["share"]
    text = f"""
`make bench SUITE=e2e` on {machine()}; {seconds:g} s a step, {exporters} exporters of five protocols, GeoIP on, generator and
target on the same CPUs. CPU columns are seconds per million flows stored, by the threads of `helios run`.

{steps_table(steps)}

![flows stored by flows offered](docs/bench-e2e.svg)

| figure | value |
|---|---|
| bare `INSERT` loop of the same flows, two connections | {share.bare.per_second / 1e3:,.0f} k rows/s, {share.bare.per_core / 1e3:,.0f} k per core-second of the engine |
| UDP to rows in the engine, {share.helios.rows:,} flows sent faster than it takes them | {share.helios.per_second / 1e3:,.0f} k rows/s, {share.helios.per_core / 1e3:,.0f} k per core-second of the engine |
| share, by the clock | {share.of_time:.0%} |
| share, by the engine's CPU per row | {share.of_cpu:.0%} |
| CPU of Helios and the generator meanwhile, and of the engine | {share.helios.others_cpu:.1f} s, {share.helios.engine_cpu:.1f} s: {share.left_by_cpu:.0%} are the engine's |
| bytes on disk per flow in `flows`, merged ({figures["disk"]["rows"]:,} rows) | {figures["disk"]["bytes_per_flow"]:.1f} |
"""
    replace(root / "BENCHMARKS.md", "e2e", text)
    print(f"\nengine_share_of_bare_inserts: {share.of_time:.2f} x\nengine_rows_per_core_second_of_bare_inserts: {share.of_cpu:.2f} x\nwritten: BENCHMARKS.md, {picture.relative_to(root)}")


def write_peers(root: Path, rows: list[dict], flows: int, rate: int):
    lines = ["| pipeline | flows that arrived | lost | CPU s | of it | flows per CPU second |", "|" + "---|" * 6]
    lines += [
        f"| {row['name']} | {row['arrived']:,} | {1 - row['arrived'] / row['sent']:.1%} | {row['cpu']:.2f} | {row['parts']} | {row['per_cpu']:,.0f} |"
        for row in rows
    ]
    ours, peers = [row for row in rows if row["helios"]], [row for row in rows if not row["helios"]]
    ratio = lambda row, peer: row["per_cpu"] / peer["per_cpu"]  # noqa: E731
    ratios = ["| flows per CPU second against | " + " | ".join(peer["name"] for peer in peers) + " |", "|---" * (len(peers) + 1) + "|"]
    ratios += [f"| {row['name']} | " + " | ".join(f"{ratio(row, peer):.1f} x" for peer in peers) + " |" for row in ours]
    text = f"""
`make bench SUITE=peers` on {machine()}; the same capture of {flows:,} flows (IPFIX, `helios simulate`), sent by `helios replay` at {rate:,}
datagrams/s, one pipeline after the other on the same CPUs. CPU is that of the processes named, without generator
and database.

{chr(10).join(lines)}

{chr(10).join(ratios)}
"""
    replace(root / "BENCHMARKS.md", "peers", text)
    for row in ours:
        for peer in peers:
            print(f"{row['key']}_against_{peer['key']}: {ratio(row, peer):.1f} x")
    print("written: BENCHMARKS.md")


def write_rates(root: Path, collectors, seconds: float, exporters: int):
    first = collectors[0]
    lines = ["| flows/s | " + " | ".join(collector.name for collector in collectors) + " |", "|---" * (len(collectors) + 1) + "|"]
    for rate in first.costs:
        cells = [f"{c.cost(rate):.2f}" + (f" ({c.lost(rate):.1%} lost)" if c.lost(rate) >= 0.001 else "") for c in collectors]
        lines.append(f"| {rate / 1e3:,.0f} k | " + " | ".join(cells) + " |")
    text = f"""
`make bench SUITE=peers` on {machine()}; IPFIX of {exporters} exporters by `helios simulate`, every datagram by itself. Helios
stores with its spool on and LZ4, and sends to a sink that reads. Microseconds of CPU a flow, of the cheapest of
{len(first.costs[rate])} rounds of {seconds:g} s by turns:

{chr(10).join(lines)}
"""
    replace(root / "BENCHMARKS.md", "rates", text)
    print("written: BENCHMARKS.md")


def write_clickhouse(root: Path, variants, parts: dict, answers, repeats: int):
    default = variants[0]
    sweep = [
        "| what differs | | k rows per core-second | against the default | k rows/s | octets/row sent | octets/row on disk, merged |",
        "|---|---|---|---|---|---|---|",
    ]
    sweep += [
        f"| {variant.asks} | {variant.name} | {variant.per_core / 1e3:.0f} | {variant.per_core / default.per_core:.2f} x | "
        f"{variant.per_second / 1e3:.0f} | {variant.wire:.1f} | {variant.disk:.1f} |"
        for variant in variants
    ]
    asked = ["| question | table | rows in it | ms | ms of CPU | against the flows |", "|---|---|---|---|---|---|"]
    flows = {answer.question: answer for answer in answers if answer.table == "flows"}
    for answer in answers:
        raw = flows.get(answer.question)
        ratio = f"{raw.milliseconds / answer.milliseconds:.1f} x" if raw and raw is not answer else "-"
        asked.append(f"| {answer.question} | {answer.table} | {answer.table_rows:,} | {answer.milliseconds:.0f} | {answer.cpu:.0f} | {ratio} |")
    text = f"""
`make bench SUITE=clickhouse` on {machine()}; {default.rows:,} flows of `helios simulate` a variant, two connections, best of {repeats}. CPU is the
engine's process until the last background merge is done, HTTP and decompression (in Python, here) included.

{chr(10).join(sweep)}

What the default's CPU goes to, with merges held back until all is inserted:

| what the engine does | seconds of CPU per million flows |
|---|---|
{chr(10).join(f"| {what} | {seconds:.2f} |" for what, seconds in parts.items())}

What dashboards ask of {answers[0].table_rows:,} flows of six hours, all of them each time; best of five over HTTP, from the page cache:

{chr(10).join(asked)}
"""
    replace(root / "BENCHMARKS.md", "clickhouse", text)
    print(f"\nclickhouse_rows_per_core_second: {default.per_core:.0f}\nclickhouse_octets_per_row: {default.disk:.1f}\nwritten: BENCHMARKS.md")


def write_sweep(root: Path, rows, figures: dict, rate: float, repeats: int):
    head = ["setting", "value", "received", "stored", "CPU s/M flows", "RSS MiB", "p50 ms", "p99 ms"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for setting, value, step in rows:
        share = lambda count: f"{count / max(step.sent, 1):.1%}"  # noqa: B023, E731
        lines.append(
            f"| `{setting}` | {value} | {share(step.received)} | {share(step.stored)} | {step.cpu_total / max(step.stored, 1) * 1e6:.2f} | "
            f"{step.resident / 2**20:,.0f} | {step.p50 * 1e3:,.0f} | {step.p99 * 1e3:,.0f} |"
        )
    text = f"""
`make bench SUITE=sweep` on {machine()}; {rate / 1e3:,.0f} k flows/s over UDP to a sink that reads, generator and sink on the same CPUs, everything
else as by default; the cheaper of {repeats} runs.

{chr(10).join(lines)}

| figure | value |
|---|---|
| CPU of `helios run` that gets nothing | {figures["idle"]:.2%} of a core |
"""
    replace(root / "BENCHMARKS.md", "sweep", text)
    print(f"\nidle_cores: {figures['idle']:.4f}\nwritten: BENCHMARKS.md")


def write_start(root: Path, rows: list[tuple], made: dict):
    lines = ["| state directory | port bound, ms | receiving, ms | slowest, ms |", "|---|---|---|---|"]
    lines += [f"| {name} | {row['bound']:.1f} | {row['receiving']:.1f} | {row['worst']:.1f} |" for name, row in rows]
    text = f"""
`make bench SUITE=start` on {machine()}; {made["exporters"]:,} exporters of NetFlow v9 and IPFIX with {made["templates"]} templates each, whose state takes
{made["octets"] / 2**20:.1f} MiB on disk. Milliseconds from the start of the process; the median of 15 starts.

{chr(10).join(lines)}
"""
    replace(root / "BENCHMARKS.md", "start", text)
    print(text)
    print(f"start_to_receiving_ms: {rows[1][1]['receiving']:.1f}\nwritten: BENCHMARKS.md")


def write_memory(root: Path, empty: int, loads, made: dict):
    lines = ["| flows/s | for | stored | resident at first, MiB | at the most | at the end | CPU s/M flows |", "|---|---|---|---|---|---|---|"]
    for load in loads:
        mebibytes = [peak / 2**20 for peak in load.peaks]
        lines.append(
            f"| {load.rate / 1e3:,.0f} k | {load.flows / load.rate / 60:.1f} min | {load.stored / max(load.flows, 1):.2%} | {mebibytes[0]:.0f} | "
            f"{max(mebibytes):.0f} | {mebibytes[-1]:.0f} | {load.cpu / max(load.stored, 1) * 1e6:.2f} |"
        )
    text = f"""
`make bench SUITE=memory` on {machine()}; {made["exporters"]:,} exporters of NetFlow v9 and IPFIX with {made["templates"]} templates each, flows to a sink
that reads. Resident memory is the peak of a minute: of the first, of all, of the last. Before the first datagram it is {empty / 2**20:.0f} MiB.

{chr(10).join(lines)}
"""
    replace(root / "BENCHMARKS.md", "memory", text)
    print(f"resident_mib: {max(loads[0].peaks) / 2**20:.0f}\nresident_mib_full_rate: {max(loads[1].peaks) / 2**20:.0f}\nwritten: BENCHMARKS.md")
