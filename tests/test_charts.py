"""Charts draw from records alone, always the same picture, with a sentence for those who cannot see it."""

from itertools import pairwise

import pytest

from labs import charts, ledger, measure, models, virtual
from labs.charts import duplex, frame_view
from labs.feed import Event
from labs.frames import Opcode, encode, encode_close
from labs.link import Chunk


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

FIVE = ("http_polling", "long_polling", "sse", "websocket", "raw_websocket")


def chunk(direction, ms, data):
    return Chunk(1, direction, ms * 1_000_000, len(data), data, (ms + 20) * 1_000_000)


SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
SOCKET = [
    chunk("up", 0, b"GET /events?after=1 HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"),
    chunk("down", 20, SWITCH + encode(Opcode.TEXT, b'{"id":7,"data":"wind"}')[:5]),
    chunk("down", 60, encode(Opcode.TEXT, b'{"id":7,"data":"wind"}')[5:] + encode(Opcode.PING)),
    chunk("up", 80, encode(Opcode.PONG, key=b"abcd") + encode(Opcode.TEXT, b"hi", key=b"abcd", fin=False)),
    chunk("up", 120, encode(Opcode.CLOSE, encode_close(1000), key=b"abcd") + b"\x81"),
]

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
    "frames": lambda: charts.frames(bytes.fromhex("818537fa213d7f9f4d5158"), title="A finding"),
    "duplex": lambda: charts.duplex_ladder(SOCKET, start=0, seconds=1, **WORDS),
    "bars": lambda: charts.bars({"a": 1, "b": 2000}, unit="u", notes={"a": "n"}, caption="c", **WORDS),
    "codec": lambda: charts.codec({"labs.frames": {64: latencies(1, 2), 4096: latencies(3)}}, caption="c", **WORDS),
    "five transports": lambda: charts.distributions([run(name) for name in FIVE], **WORDS),
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


def test_duplex_ladder_has_every_whole_head_and_frame_at_the_time_of_its_last_byte():
    found = [(m.direction, m.sent // 1_000_000, m.size, text) for m, text in duplex.captions(SOCKET)]
    assert found == [
        ("up", 0, 30 + 20 + 2, "GET /events, Upgrade"),
        ("down", 20, len(SWITCH), "101 Switching Protocols"),
        ("down", 60, 24, "text event 7 “wind”"),
        ("down", 60, 2, "ping"),
        ("up", 80, 6, "pong"),
        ("up", 80, 8, "text “hi”, to be continued"),
        ("up", 120, 8, "close 1000"),
    ]


def test_frame_view_says_what_the_rfcs_own_example_is():
    masked = frame_view.describe(bytes.fromhex("818537fa213d7f9f4d5158"))  # RFC 6455 §5.7
    assert masked == (
        "A text frame of 11 bytes, the last of its message, masked with the key 37 fa 21 3d: 6 bytes of framing and 5 of "
        "payload, which says “Hello”."
    )
    assert "not masked: 2 bytes of framing and 5 of payload" in frame_view.describe(bytes.fromhex("810548656c6c6f"))


@pytest.mark.parametrize(
    ("size", "key", "shown"),
    [(5, b"abcd", 5), (18, b"abcd", 18), (19, b"abcd", 15), (22, None, 22), (23, None, 19), (70_000, b"abcd", 7)],
)
def test_frame_view_shows_a_long_payload_in_part_and_says_how_much_is_left_out(size, key, shown):
    drawn = charts.frames(encode(Opcode.TEXT, b"x" * size, key=key), title="A finding").figure.axes[0]
    texts = [text.get_text() for text in drawn.texts]
    assert texts.count("x") == shown
    assert any(text == f"… {size - shown:,} more" for text in texts) == (size > shown)


@pytest.mark.parametrize("data", [b"", b"\x81", bytes.fromhex("8105"), bytes.fromhex("810548656c6c6f00")])
def test_frame_view_of_less_or_more_than_one_frame_is_refused(data):
    with pytest.raises(ValueError, match="bytes"):
        charts.frames(data, title="A finding")


@pytest.mark.parametrize("opcode", range(16))
@pytest.mark.parametrize("rsv", [0, 4])
def test_frame_view_shows_even_what_must_not_be_sent(opcode, rsv):
    data = bytes([rsv << 4 | opcode, 3]) + b"\xf0\x9f\xff"
    assert charts.frames(data, title="A finding").png()


def test_five_transports_are_named_at_different_heights_inside_the_chart():
    axes = charts.distributions([run(name) for name in FIVE], **WORDS).figure.axes[0]
    heights = [text.xy[1] for text in axes.texts]
    assert len(heights) == 5 and all(0 < height < 1 for height in heights)
    assert all(later - earlier > 0.1 for earlier, later in pairwise(heights))


def test_ledgers_legend_touches_neither_title_nor_caption_however_low_the_chart():
    for rows in (1, 2, 5):
        figure = charts.ledger({str(n): PARTS for n in range(rows)}, title="T" * 60, says="", caption="c " * 150).figure
        figure.draw_without_rendering()
        legend = figure.axes[0].get_legend().get_window_extent()
        assert not any(legend.overlaps(text.get_window_extent()) for text in (figure._suptitle, figure._supxlabel))
