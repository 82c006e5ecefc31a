"""Which ways the traffic takes through other networks, and how many ways there are."""

from .. import sql
from ..grafana import BLUE, GREEN, YELLOW, Column, Dashboard, ch, graph, stat, table, thresholds
from ..sql import Question
from ..variables import flows
from .shared import ALL, FIGURES, NO_FLOWS, SENDER, VOLUME, first_row, to_as

NO_PATHS = "No flow in this range has an AS path: sFlow agents send it with BGP enabled (extended gateway)"
# A rollup knows the first and the last AS of a path.
HAS_PATH = {"flows": "notEmpty(f.as_path)", "rollup": "f.dst_peer_as != 0 AND f.dst_as != 0"}
AS_PATH = {"flows": "f.as_path", "rollup": "arrayDistinct([f.dst_peer_as, f.dst_as])"}
ENDS = frozenset({"dst_peer_as", "dst_as"})
PATH = Question(
    {"path": AS_PATH, "next_hop": {"flows": "f.bgp_next_hop", "rollup": "toIPv6('::')"}},
    needs={"flows": frozenset({"as_path", "bgp_next_hop"}), "rollup": ENDS},
    where=HAS_PATH,
    figures=FIGURES,
    detailed=True,
)
DIVERSITY = Question(
    {"destination": "f.dst_as", "path": AS_PATH},
    needs={"flows": frozenset({"as_path", "dst_as"}), "rollup": ENDS},
    where=HAS_PATH,
    detailed=True,
)
LENGTH = Question({"ases": "length(f.as_path)"}, needs=frozenset({"as_path"}), where="notEmpty(f.as_path)")
NEIGHBOUR = Question(
    {"asn": "if(f.dst_peer_as != 0, f.dst_peer_as, f.src_peer_as)"},
    needs=frozenset({"dst_peer_as", "src_peer_as"}),
    where="f.dst_peer_as != 0 OR f.src_peer_as != 0",
    figures=FIGURES,
)
EXIT = Question(
    {"exporter": "f.exporter_name", "interface": "f.out_if_name", "asn": "f.dst_as"},
    needs=frozenset({"exporter_name", "out_if_name", "dst_as"}),
    where="f.dst_as != 0",
    figures=FIGURES,
    bounded=True,
)


def make() -> Dashboard:
    board = Dashboard(
        "helios-as-paths",
        "AS Paths",
        "Which neighbours and AS paths carry the traffic, how many ways lead to a destination, and by which interface it leaves.",
        "flows",
        flows(all=ALL, neighbours=NEIGHBOUR, hosts=SENDER, paths=PATH, exits=EXIT, raw=LENGTH),
    )
    board.row(4, *first_row())
    one_way = _one_way()
    board.row(
        4,
        stat(
            "Destinations with one path only [$table_paths]",
            "Share of the bytes with an AS path whose destination AS was reached by a single path in the range: what has no other way if that path fails.",
            [ch(one_way)],
            unit="percentunit",
            no_value=NO_PATHS,
            decimals=0,
            levels=thresholds(GREEN, (0.5, YELLOW), (0.9, "orange")),
        ),
        stat(
            "Paths [$table_paths]",
            "Different AS paths that carried traffic in the range.",
            [ch(_count("uniqExact(path)"))],
            no_value=NO_PATHS,
        ),
        stat(
            "Mean path length [$table_raw]",
            "ASes on the way, weighted by bytes. A jump means that traffic takes a detour.",
            [ch(_length())],
            no_value=NO_PATHS,
            decimals=1,
        ),
    )
    path = "arrayStringConcat(path, ' ')"
    name = sql.as_name("k_asn")
    board.row(
        10,
        table(
            "AS paths [$table_paths]",
            "Paths to the destination, nearest AS first, with the BGP next hop, by bytes. Only flows has whole paths; flows_1m, flows_1h and "
            "summary_1h, which answer for long ranges, know the neighbour and the destination; summary_1h has the busiest pairs of AS alone.",
            [ch(sql.top_table(PATH, show={"path": path, "next_hop": f"if(chosen = 'flows', {sql.address('next_hop')}, '')"}))],
            [Column("path", "AS path"), Column("next_hop", "BGP next hop", width=120), *VOLUME],
            no_value=NO_PATHS,
        ),
        table(
            "Route diversity [$table_paths]",
            "Destination ASes by bytes, with the number of different paths that led to them in the range. One path means that nothing else was used.",
            [ch(_diversity())],
            [
                Column("as_number", "Destination AS", width=130, links=[to_as("as_number")]),
                Column("name", "Name"),
                Column("paths", "Paths", width=80, colors=thresholds(YELLOW, (2, GREEN)), decimals=0),
                Column("neighbours", "Neighbours", width=110, decimals=0),
                Column("share", "Share", "percentunit", 120, gauge=True, colors=thresholds(BLUE)),
                Column("bytes", "Bytes", "decbytes", 100),
            ],
            no_value=NO_PATHS,
        ),
    )
    neighbour = Question(NEIGHBOUR.keys, needs=NEIGHBOUR.needs, where=NEIGHBOUR.where)
    text = "concat('AS', toString(series), ' ', as_names[assumeNotNull(series)])"
    board.row(
        9,
        table(
            "Neighbour ASes [$table_neighbours]",
            "The next AS towards the destination, or the one that the traffic came from, by bytes.",
            [ch(sql.top_table(NEIGHBOUR, derive={"name": name}, constants=[sql.AS_NAMES]))],
            [Column("asn", "AS", width=90, links=[to_as("asn")]), Column("name", "Name"), *VOLUME],
            no_value=NO_PATHS,
        ),
        graph(
            "Neighbour ASes over time [$table_neighbours]",
            "Rate by neighbour AS: a step from one to another is a change of route.",
            [ch(sql.top_series(neighbour, limit="10", show=text, constants=[sql.AS_NAMES]), time=True)],
            unit="bps",
            no_value=NO_PATHS,
            stack=True,
            name="series_",
        ),
    )
    board.heading("Where it leaves")
    board.row(
        9,
        table(
            "Exits [$table_exits]",
            "By which device and interface the traffic to an AS leaves, by bytes.",
            [ch(sql.top_table(EXIT, derive={"name": name}, constants=[sql.AS_NAMES]))],
            [
                Column("exporter", "Exporter"),
                Column("interface", "Interface"),
                Column("asn", "Destination AS", width=130, links=[to_as("asn")]),
                Column("name", "Name"),
                *VOLUME,
            ],
            no_value=NO_FLOWS,
        ),
    )
    return board


def _diversity() -> str:
    grouped = (
        "SELECT destination, uniqExact(path) AS paths, uniqExact(path[1]) AS neighbours, sum(bytes) AS b FROM (\n"
        f"{DIVERSITY.rows()}\n) GROUP BY destination"
    )
    return sql._statement(
        DIVERSITY,
        [sql.AS_NAMES, sql._cte("grouped", grouped), "(SELECT sum(b) FROM grouped) AS all_bytes"],
        f"SELECT toString(destination) AS as_number, {sql.as_name('as_number')} AS name, paths, neighbours, b / greatest(all_bytes, 1) AS share, b AS bytes"
        " FROM grouped ORDER BY b DESC LIMIT $top",
    )


def _length() -> str:
    mean = "sum(ases * bytes) / greatest(sum(bytes), 1)"
    return sql._statement(LENGTH, [], f"SELECT if(count() = 0, NULL, {mean}) AS value FROM (\n{LENGTH.rows()}\n)")


def _count(select: str) -> str:
    return sql._statement(DIVERSITY, [], f"SELECT if(count() = 0, NULL, {select}) AS value FROM (\n{DIVERSITY.rows()}\n)")


def _one_way() -> str:
    grouped = (
        f"SELECT destination, uniqExact(path) AS paths, sum(bytes) AS b FROM (\n{DIVERSITY.rows()}\n) GROUP BY destination"
    )
    return sql._statement(
        DIVERSITY, [], f"SELECT if(count() = 0, NULL, sumIf(b, paths = 1) / greatest(sum(b), 1)) AS share FROM (\n{grouped}\n)"
    )
