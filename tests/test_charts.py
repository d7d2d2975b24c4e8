"""Charts draw from records alone, always the same picture, with a sentence for those who cannot see it."""

import pytest

from labs import charts, ledger, measure, models, virtual
from labs.feed import Event


def latencies(*ms):
    return measure.Latencies(tuple(ms))


def run(reader="http_polling", **more):
    settings = {"every_ms": 1000.0}
    values = dict(latency=latencies(*range(10, 1000, 10)), expected=99, bytes={}, requests=10, empty=5, seconds=10.0)
    return measure.Run(reader, **values, rtt_ms=0.0, per_second=25.0, settings=settings, machine="a machine", **more)


async def exchange():
    async with virtual.launch("long_polling") as server:
        mark = await server.publish("mark")
        from labs import clients

        async with clients.session() as http:
            await clients.fetch(http, server.url, mark.cursor, wait=1)
        return server.link.chunks


CHUNKS = virtual.run(exchange())
WORDS = {"title": "A finding", "says": "What it shows."}
SAMPLES = [measure.Sample(10.0 * i, 10.0 * i, 10.0 * i + 5) for i in range(100)]
EVENT = Event(1, 500_000_000, "x", "00000001-1")
PARTS = {part: 10 for part in ledger.PARTS}

DRAWN = {
    "latency": lambda: charts.latency(run(), model=models.polling(1000), simulated=run(), guess_ms=700, **WORDS),
    "latency without a guess": lambda: charts.latency(run(), guess_ms=..., **WORDS),
    "distributions": lambda: charts.distributions(
        [run(), run("sse")], models=[models.polling(1000), models.pushed(40)], simulated=[run()], **WORDS
    ),
    "distances": lambda: charts.distances(
        {"near": ([run()], [models.pushed(0)], [run()]), "far": ([run()], [], [])}, caption="c", **WORDS
    ),
    "spreads": lambda: charts.spreads(
        {"TCP": latencies(0.01, 0.02), "link": latencies(0.03, 0.05)}, caption="c", **WORDS
    ),
    "stall": lambda: charts.stall(SAMPLES, SAMPLES, pause_ms=1000, after_ms=200, caption="c", **WORDS),
    "ladder": lambda: charts.ladder(ledger.messages(CHUNKS), start=0, seconds=2, published=[EVENT], **WORDS),
    "stream": lambda: charts.stream_ladder(CHUNKS, start=0, seconds=2, published=[EVENT], **WORDS),
    "ledger": lambda: charts.ledger({"one": PARTS, "two": PARTS}, caption="c", **WORDS),
    "cost": lambda: charts.cost([run()], models=models, caption="c", **WORDS),
    "bytes": lambda: charts.bytes_per_event({1: 200}, {2: 400}, {1: 200, 2: 400}, payload=80, caption="c", **WORDS),
    "compare": lambda: charts.compare(
        [("a", "sse", {1: 2}, {2: 3}, {1: 2, 2: 3}), ("b", "", {}, {}, {1: 2, 2: 3})],
        caption="c",
        xlabel="x",
        ylabel="y",
        **WORDS,
    ),
    "strip": lambda: charts.strip(
        {"reader": [1, 3]}, published=[1, 2, 3], marks={1.5: "restart"}, caption="c", **WORDS
    ),
}


@pytest.mark.parametrize("name", DRAWN)
def test_chart_is_the_same_picture_every_time_and_names_no_software(name):
    first, second = DRAWN[name]().png(), DRAWN[name]().png()
    assert first.startswith(b"\x89PNG") and first == second
    assert b"Software" not in first


def test_chart_says_in_words_what_it_shows(capsys):
    chart = DRAWN["latency"]()
    assert chart.says == "What it shows."
    assert chart.figure.get_suptitle() == "A finding"


@pytest.mark.parametrize(
    ("value", "label"),
    [(0, "0"), (66.0, "66"), (3791, "3,791"), (12265.3, "12,265"), (0.126, "0.126"), (21.72, "21.7"), (502.4, "502")],
)
def test_number_has_three_digits_and_whole_numbers_stay_whole(value, label):
    assert charts.number(value) == label
