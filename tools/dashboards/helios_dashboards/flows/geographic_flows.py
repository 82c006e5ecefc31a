"""Countries and cities that the traffic comes from and goes to."""

from .. import sql
from ..grafana import Column, Dashboard, ch, graph, table, world_map
from ..sql import Question
from ..variables import flows
from .shared import ALL, FIGURES, NO_FLOWS, PLACES, SENDER, VOLUME, first_row

SOURCE = Question({"country": "f.src_country"}, needs=frozenset({"src_country"}), figures=FIGURES)
DESTINATION = Question({"country": "f.dst_country"}, needs=frozenset({"dst_country"}), figures=FIGURES)
PAIR = Question(
    {"source": "f.src_country", "destination": "f.dst_country"},
    needs=frozenset({"src_country", "dst_country"}),
    figures=FIGURES,
)
CITY = Question(
    {"city": "f.src_city", "country": "f.src_country"},
    needs=frozenset({"src_city", "src_country"}),
    figures=FIGURES,
    where="f.src_city != ''",
)

UNKNOWN = "if({0} = '', 'none or private', {0})"
NO_GEOIP = "No flow in this range has a country: set enricher.geoip.city"


def make() -> Dashboard:
    board = Dashboard(
        "helios-geographic-flows",
        "Geographic Flows",
        "Countries and cities by traffic, by the GeoIP database of Helios.",
        "flows",
        flows(all=ALL, places=PLACES, hosts=SENDER, cities=CITY),
    )
    board.row(4, *first_row())
    show = {"country": UNKNOWN.format("country")}
    board.row(
        12,
        world_map(
            "From where [$table_places]",
            "Countries of the sources; the size of a circle is its bytes.",
            [ch(_map(SOURCE))],
            country="country",
            size="bytes",
            unit="decbytes",
            no_value=NO_GEOIP,
        ),
        world_map(
            "To where [$table_places]",
            "Countries of the destinations; the size of a circle is its bytes.",
            [ch(_map(DESTINATION))],
            country="country",
            size="bytes",
            unit="decbytes",
            no_value=NO_GEOIP,
        ),
    )
    board.row(
        9,
        table(
            "Source countries [$table_places]",
            "Countries of the sources by bytes, as ISO 3166-1 codes.",
            [ch(sql.top_table(SOURCE, show=show))],
            [Column("country", "Country"), *VOLUME],
            no_value=NO_FLOWS,
        ),
        table(
            "Destination countries [$table_places]",
            "Countries of the destinations by bytes, as ISO 3166-1 codes.",
            [ch(sql.top_table(DESTINATION, show=show))],
            [Column("country", "Country"), *VOLUME],
            no_value=NO_FLOWS,
        ),
    )
    rates = Question(SOURCE.keys, needs=SOURCE.needs)
    board.row(
        8,
        graph(
            "Source countries over time [$table_places]",
            "Rate by country of the source. A country that rises out of nothing is worth a look.",
            [ch(sql.top_series(rates, limit="10", show=UNKNOWN.format("series")), time=True)],
            unit="bps",
            no_value=NO_FLOWS,
            stack=True,
            name="series_",
        ),
    )
    board.heading("Pairs and cities")
    board.row(
        9,
        table(
            "Country to country [$table_places]",
            "Pairs of countries by bytes.",
            [ch(sql.top_table(PAIR, show={n: UNKNOWN.format(n) for n in ("source", "destination")}))],
            [Column("source", "From"), Column("destination", "To"), *VOLUME],
            no_value=NO_FLOWS,
        ),
        table(
            "Source cities [$table_cities]",
            "Cities of the sources by bytes, where the GeoIP database knows them.",
            [ch(sql.top_table(CITY))],
            [Column("city", "City"), Column("country", "Country", width=90), *VOLUME],
            no_value=NO_GEOIP,
        ),
    )
    return board


def _map(question: Question) -> str:
    return sql._statement(
        question,
        [],
        f"SELECT country, sum(bytes) AS bytes FROM (\n{question.rows()}\n) WHERE country != '' GROUP BY country ORDER BY bytes DESC",
    )
