"""The formulas against literal arithmetic and literal messages, and against simulations that know nothing of them."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated import simulated
from websockets.frames import Frame, Opcode

from labs import clients, ledger, measure, models, virtual


@pytest.mark.parametrize(
    ("every", "rtt", "low", "mean", "high", "rate"),
    [
        (1000, 0, 0, 500, 1000, 1),
        (1000, 80, 40, 540, 1040, 1),
        (100, 100, 50, 100, 150, 10),  # the answer is back just in time
        (100, 101, 50.5, 150.5, 250.5, 5),  # … and here a moment too late: every second tick is lost
        (100, 250, 125, 275, 425, 1000 / 300),
    ],
)
def test_polling_waits_half_an_interval_and_one_way(every, rtt, low, mean, high, rate):
    model = models.polling(every, rtt)
    assert (model.low, model.mean, model.high) == (low, mean, high)
    assert models.polling_requests_per_s(every, rtt) == pytest.approx(rate)
    assert model.cdf(low) == 0 and model.cdf(mean) == pytest.approx(0.5) and model.cdf(high + 1) == 1
    assert model.quantile(0.25) == pytest.approx((low + mean) / 2)


def test_wait_times_rate_is_one_half_at_every_interval():
    for every in (50, 333, 1000, 60_000):
        assert models.polling(every).mean / 1000 * models.polling_requests_per_s(every) == pytest.approx(0.5)


@pytest.mark.parametrize(("rate", "rtt", "share"), [(0, 100, 0), (5, 0, 0), (10, 100, 0.7311), (1000, 1000, 1)])
def test_gap_share_is_r_over_r_plus_the_chance_of_an_empty_gap(rate, rtt, share):
    assert models.gap_share(rate, rtt) == pytest.approx(share, abs=5e-5)  # 1 / (1 + 1/e) where r is 1


def test_long_polling_is_one_way_for_most_and_up_to_a_round_trip_more_for_the_rest():
    model = models.Parked(one_way=50, gap=100, share=0.4)
    assert (model.low, model.mean, model.high) == (50, 70, 150)
    assert model.cdf(49) == 0 and model.cdf(50) == pytest.approx(0.6) and model.cdf(100) == pytest.approx(0.8)
    assert (
        model.quantile(0.5) == 50
        and model.quantile(0.8) == pytest.approx(100)
        and model.quantile(1) == pytest.approx(150)
    )


def test_a_push_takes_one_way():
    model = models.pushed(40)
    assert (model.low, model.mean, model.high, model.quantile(0.99), model.cdf(20)) == (20, 20, 20, 20, 1)


@pytest.mark.parametrize("rate", [2, 10, 40])
def test_simulated_gap_agrees_with_the_model(rate):
    async def run():
        async with virtual.launch("long_polling") as server:
            reader = measure.long_poller(100)
            return (await measure.deliver(server, [reader], events=500, per_second=rate, plan=measure.poisson))[0]

    run = virtual.run(run(), wall_limit_s=60)
    model = models.long_polling(100, rate)
    assert run.late_share == pytest.approx(model.share, abs=0.04)
    assert run.latency.mean == pytest.approx(model.mean, rel=0.04)
    assert run.latency.max <= model.high + 0.01


def test_stall_in_an_open_loop_costs_half_the_pause_of_all_that_fell_into_it():
    model = models.Stall(pause_ms=1000, total_ms=4000, per_s=100)
    assert model.open_mean == 125
    assert model.closed_mean == pytest.approx(1000 / 300)
    assert model.open_quantile(0.99) == 960 and model.open_quantile(0.5) == 0


GET = b"GET /events?after=00000001-7 HTTP/1.1\r\nHost: 127.0.0.1:60001\r\n\r\n"
EVENT = '{"id":8,"at":5,"data":"5 °","cursor":"00000001-8"}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 105\r\n"
    b"Date: Tue, 24 Nov 2026 12:00:00 GMT\r\n\r\n" + f"[{EVENT},{EVENT}]".encode()
)
STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Accel-Buffering: no\r\n"
    b"Transfer-Encoding: chunked\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\n\r\n"
    b"c\r\nretry: 1000\n\r\n" + b"4a\r\n" + f"id: 00000001-8\ndata: {EVENT}\n\n".encode() + b"\r\n" + b"2\r\n:\n\r\n"
)


def test_bytes_of_a_poll_are_those_of_the_literal_message():
    parts = models.poll_request("127.0.0.1:60001", "00000001-7")
    assert parts == {"request line": 39, "request headers": 25, "framing": 0, "payload": 0}
    assert sum(parts.values()) == len(GET)


def test_bytes_of_an_answer_are_those_of_the_literal_message():
    parts = models.poll_response([EVENT, EVENT])
    assert sum(parts.values()) == len(ANSWER)
    assert (parts["status line"], parts["framing"], parts["payload"]) == (17, 3, 2 * len(EVENT.encode()))


def test_bytes_of_a_stream_are_those_of_the_literal_message():
    parts = models.sse_response([(EVENT, "00000001-8")], comments=1)
    assert sum(parts.values()) == len(STREAM)
    assert parts["payload"] == len(EVENT.encode())


def test_bytes_per_event_grow_with_the_polls_for_each():
    assert models.bytes_per_event(exchange=200, event=80, polls_per_event=0) == 80
    assert models.bytes_per_event(exchange=200, event=80, polls_per_event=60) == 12_080


def test_a_question_takes_a_round_trip_and_a_new_connection_one_more():
    assert models.connect_times(30) == {
        "HTTP, new connection": 60,
        "HTTP, kept connection": 30,
        "WebSocket, until open": 60,
        "raw WebSocket, until open": 60,
    }
    assert set(models.echo_times(30).values()) == {30}


UPGRADE = (  # RFC 6455 §1.2, without the header fields that are optional
    b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
DATE = b"Date: Tue, 24 Nov 2026 12:00:00 GMT\r\n"


def test_bytes_of_an_upgrade_are_those_of_the_literal_messages():
    assert sum(models.upgrade_request("server.example.com", "/chat").values()) == len(UPGRADE)
    assert models.upgrade_request("server.example.com", "/chat")["request line"] == len("GET /chat HTTP/1.1\r\n")
    assert sum(models.upgrade_response("raw_websocket").values()) == len(SWITCHING)
    assert sum(models.upgrade_response("websocket").values()) == len(SWITCHING + DATE)


@pytest.mark.parametrize(("size", "head"), [(0, 2), (5, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10), (2**20, 10)])
def test_bytes_of_a_frame_are_two_or_more_by_its_length_and_four_for_a_mask(size, head):
    assert models.frame(size) == {"framing": head, "payload": size}
    assert models.frame(size, masked=True) == {"framing": head + 4, "payload": size}


@given(st.integers(0, 70_000), st.booleans())
def test_bytes_of_a_frame_are_those_that_the_library_writes(size, masked):
    written = Frame(Opcode.BINARY, bytes(size)).serialize(mask=masked)
    assert sum(models.frame(size, masked=masked).values()) == len(written)


POST = (
    b"POST /events HTTP/1.1\r\nHost: 127.0.0.1:60001\r\nContent-Length: 4\r\nContent-Type: application/octet-stream\r\n\r\n"
    b"5 \xc2\xb0"
)
CREATED = (
    b"HTTP/1.1 201 Created\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 51\r\n" + DATE + b"\r\n"
) + EVENT.encode()


def test_bytes_of_a_post_are_those_of_the_literal_messages():
    assert sum(models.publish_request("127.0.0.1:60001", "5 °").values()) == len(POST)
    assert models.publish_request("127.0.0.1:60001", "5 °")["payload"] == 4
    assert sum(models.publish_response(EVENT).values()) == len(CREATED)


@simulated
async def test_a_post_on_a_kept_connection_has_the_predicted_bytes_part_by_part():
    async with virtual.launch("sse", rtt_ms=10) as server, clients.session() as http:
        event = [await clients.publish(http, server.url, text) for text in ("one", "5 °")][1]
        request, response = ledger.messages(server.link.chunks)[2:]
        assert request.parts == models.publish_request(server.url.removeprefix("http://"), "5 °")
        assert response.parts == models.publish_response(event.to_json())


@pytest.mark.parametrize("name", ["websocket", "raw_websocket"])
def test_a_socket_has_the_predicted_bytes_from_upgrade_to_close_part_by_part(name):
    async def talk():
        async with virtual.launch(name, rtt_ms=10) as server:
            mark = await server.publish("mark")
            target = f"/events?after={mark.cursor}"
            async with clients.connect(server.url, target) as socket:
                await socket.send("5 °" * 100)
                event = await socket.recv()
            await asyncio.sleep(1)
            return server.link, target, event

    link, target, event = virtual.run(talk())
    host = link.url.removeprefix("http://")
    close = {"framing": 2 + 2, "payload": 0}  # a control frame is framing altogether; its payload is the code
    assert [message.parts for message in ledger.messages(link.chunks)] == [
        models.upgrade_request(host, target),
        models.upgrade_response(name),
        models.frame(400, masked=True),
        models.frame(len(event.encode())),
        close | {"framing": 4 + close["framing"]},
        close,
    ]
