"""From where to where: between ASes and between sites."""

from .. import sql
from ..grafana import Column, Dashboard, ch, field_of_row, graph, link, table
from ..sql import Question
from ..variables import flows
from .shared import ALL, ASES, FIGURES, NO_FLOWS, SCOPE, SENDER, VOLUME, first_row, to_as

AS_PAIR = Question({"source": "f.src_as", "destination": "f.dst_as"}, needs=frozenset({"src_as", "dst_as"}), figures=FIGURES)
SITES = Question(
    {"source": "f.src_site", "destination": "f.dst_site"}, needs=frozenset({"src_site", "dst_site"}), figures=FIGURES
)
SOURCE_AS = Question({"asn": "f.src_as"}, needs=frozenset({"src_as"}))

OUTSIDE = "if({0} = '', 'outside', {0})"


def make() -> Dashboard:
    board = Dashboard(
        "helios-traffic-matrix",
        "Traffic Matrix",
        "How much flows from which AS or site to which.",
        "flows",
        flows(all=ALL, ases=ASES, hosts=SENDER, sites=SITES),
    )
    board.row(4, *first_row())
    names = {f"{end}_name": sql.as_name(f"k_{end}") for end in ("source", "destination")}
    both = link(
        "Hosts of both", "helios-top-talkers", f"&var-asn={field_of_row('source')},{field_of_row('destination')}{SCOPE}"
    )
    board.row(
        11,
        table(
            "AS to AS [$table_ases]",
            "Pairs of source and destination AS by bytes. 0 is the own network, or an address whose AS nobody knows. "
            "summary_1h lists the busiest pairs: what is listed is a lower bound, the rest is in 'other'. For exact figures choose the table by hour.",
            [ch(sql.top_table(AS_PAIR, derive=names, constants=[sql.AS_NAMES]))],
            [
                Column("source", "Source AS", width=100, links=[to_as("source"), both]),
                Column("source_name", "Source"),
                Column("destination", "Destination AS", width=130, links=[to_as("destination"), both]),
                Column("destination_name", "Destination"),
                *VOLUME,
            ],
            no_value=NO_FLOWS,
        ),
    )
    text = "if(series = 0, 'own network or unknown', concat('AS', toString(series), ' ', as_names[assumeNotNull(series)]))"
    board.row(
        8,
        graph(
            "Source ASes over time [$table_ases]",
            "Rate of the ASes that sent the most in the range, and of all others.",
            [ch(sql.top_series(SOURCE_AS, limit="10", show=text, constants=[sql.AS_NAMES]), time=True)],
            unit="bps",
            no_value=NO_FLOWS,
            stack=True,
            name="series_",
            legend_width=420,
        ),
    )
    board.heading("Between sites")
    show = {"source": OUTSIDE.format("source"), "destination": OUTSIDE.format("destination")}
    matrix = {
        "id": "groupingToMatrix",
        "options": {"columnField": "destination", "rowField": "source", "valueField": "rate", "emptyValue": "zero"},
    }
    keep_matrix = {"id": "filterFieldsByName", "options": {"include": {"names": ["source", "destination", "rate"]}}}
    board.row(
        9,
        table(
            "Site to site, mean rate [$table_sites]",
            "Rows are sources, columns destinations, by the site of the network that holds the address. 'outside' is any address of no network that Helios knows.",
            [ch(sql.top_table(SITES, limit="400", show=show))],
            [Column("source\\destination", "From \\ to")],
            no_value=NO_FLOWS,
            transformations=[keep_matrix, matrix],
            unit="bps",
            defaults={
                "custom": {
                    "align": "auto",
                    "minWidth": 90,
                    "cellOptions": {"type": "color-background", "mode": "gradient"},
                    "filterable": False,
                },
                "color": {"mode": "continuous-BlPu"},
            },
        ),
        table(
            "Pairs of sites [$table_sites]",
            "The same as a list, by bytes.",
            [ch(sql.top_table(SITES, show=show))],
            [Column("source", "Source site", width=130), Column("destination", "Destination site", width=140), *VOLUME],
            no_value=NO_FLOWS,
        ),
    )
    return board
