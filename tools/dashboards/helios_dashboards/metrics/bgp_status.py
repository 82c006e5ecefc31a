"""BGP sessions: state, changes, prefixes."""

from ..grafana import (
    ANY_IS_BAD,
    GREEN,
    MERGE,
    ORANGE,
    RED,
    Column,
    Dashboard,
    field_of_row,
    graph,
    link,
    organize,
    prom,
    stat,
    table,
    thresholds,
    value_map,
)
from ..variables import DEVICE, metrics
from ..variables import DEVICES as D
from .shared import LABEL_DEVICE, ROW_DEVICE, count_of

STATES = value_map(
    _1=("idle", RED),
    _2=("connect", RED),
    _3=("active", RED),
    _4=("open sent", ORANGE),
    _5=("open confirm", ORANGE),
    _6=("established", GREEN),
)
NO_BGP = "No BGP sessions of these devices are collected"


def make() -> Dashboard:
    board = Dashboard(
        "helios-bgp-status",
        "BGP Status",
        "Which sessions are down or flap, and what they announce.",
        "metrics",
        metrics(DEVICE),
    )
    state, prefixes = f"helios:bgp_session_state{{{D}}}", f"helios:bgp_prefixes{{{D}}}"
    flaps = f"increase(helios:bgp_established_transitions{{{D}}}[$__range])"
    board.row(
        4,
        stat(
            "Not established",
            "Sessions that are not established now.",
            count_of(f"{state} < 6"),
            levels=ANY_IS_BAD,
        ),
        stat(
            "Lost in range",
            "Sessions that were established within the range and are not now.",
            count_of(f"max_over_time({state}[$__range]) == 6 and {state} < 6"),
            levels=ANY_IS_BAD,
        ),
        stat(
            "Flapped in range",
            "Sessions that were established anew within the range.",
            count_of(f"{flaps} > 0"),
            levels=thresholds(GREEN, (1, ORANGE), (5, RED)),
        ),
        stat(
            "Prefixes halved",
            "Sessions that announce less than half of the most prefixes that they announced in the range.",
            count_of(f"{prefixes} < 0.5 * max_over_time({prefixes}[$__range])"),
            levels=thresholds(GREEN, (1, RED)),
        ),
        stat("Established", "Sessions that are established now.", count_of(f"{state} == 6")),
        stat(
            "Prefixes received",
            "Sum over the sessions and address families, now.",
            [prom("A", f"sum({prefixes})", instant=True)],
            unit="short",
            no_value="Only gNMI tells the number of prefixes",
        ),
    )
    by = "by (device, site, peer)"
    columns = [
        Column("device", "Device", links=ROW_DEVICE),
        Column("site", "Site"),
        Column(
            "peer",
            "Neighbour",
            links=[link("Flows of this address", "helios-top-talkers", f"&var-address={field_of_row('peer')}")],
        ),
        Column("Value #A", "State", width=120, colors=thresholds(RED, (4, ORANGE), (6, GREEN)), mappings=[STATES]),
        Column("Value #B", "Flaps", width=80, colors=thresholds(GREEN, (1, ORANGE)), decimals=0),
        Column("Value #C", "Prefixes", "locale", 110, decimals=0),
        Column("Value #D", "Most in range", "locale", 130, decimals=0),
    ]
    board.row(
        11,
        table(
            "Sessions",
            "State now (RFC 4271), how often the session was established anew in the range, and prefixes received.",
            [
                prom("A", f"min {by} ({state})", table=True),
                # A session of a device that does not answer any more has no state, and would come first.
                prom("B", f"sum {by} ({flaps}) and on (device, peer) {state}", table=True),
                prom("C", f"sum {by} ({prefixes}) and on (device, peer) {state}", table=True),
                prom("D", f"sum {by} (max_over_time({prefixes}[$__range])) and on (device, peer) {state}", table=True),
            ],
            columns,
            sort="State",
            descending=False,
            no_value=NO_BGP,
            transformations=[MERGE, organize([c.name for c in columns], hide=["Time"])],
        ),
    )
    board.row(
        8,
        graph(
            "State of sessions that were down",
            "1 idle, 2 connect, 3 active, 4 open sent, 5 open confirm, 6 established. Empty when all sessions were established all the time.",
            [
                prom(
                    "A",
                    f"min by (device, peer) ({state}) and on (device, peer) min_over_time({state}[$__range] @ end()) < 6",
                    "{{device}} {{peer}}",
                )
            ],
            unit="none",
            steps=True,
            maximum=6,
            no_value="All sessions were established all the time",
            links=LABEL_DEVICE,
            legend_calc="lastNotNull",
        ),
        graph(
            "Prefixes",
            "Prefixes received by the ten largest sessions. A step down is a withdrawn table.",
            [prom("A", f"topk(10, sum by (device, peer) ({prefixes}))", "{{device}} {{peer}}")],
            unit="short",
            no_value="Only gNMI tells the number of prefixes",
            links=LABEL_DEVICE,
            legend_calc="lastNotNull",
        ),
    )
    board.row(
        7,
        graph(
            "Sessions down by site",
            "Sessions that are not established.",
            [prom("A", f"count by (site) ({state} < 6) or 0 * count by (site) ({state})", "{{site}}")],
            unit="none",
            at_least=4,
            stack=True,
            steps=True,
            no_value=NO_BGP,
            legend_calc="max",
        ),
        graph(
            "Flaps",
            "Sessions established anew, per device and 5 minutes.",
            [prom("A", f"topk(10, sum by (device) (increase(helios:bgp_established_transitions{{{D}}}[5m])))", "{{device}}")],
            unit="none",
            at_least=4,
            no_value=NO_BGP,
            links=LABEL_DEVICE,
            legend_calc="max",
        ),
    )
    return board
