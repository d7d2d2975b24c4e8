"""Five benchmarks, each of them wrong: find out why, and what it should have said.

    virtual.run(answer_time())      # 15.0: milliseconds, says the benchmark

Design notes
  * They run in virtual time, in a world whose figures are fixed: what a benchmark says is exact, and so is what it should
    have said. Each flaw is one that has been published with a straight face.
  * Notebook 07 has the same five functions in cells, where they can be repaired; `tests/test_benchmarks.py` compares.
"""

import asyncio
from statistics import mean

from labs import clients, virtual
from labs.choosing.small_world import Line, Machine, Service, now_ms, phone_and_server, sleep_ms, travel

FLAWS = {
    "closed loop": "the next question waits until the last one is answered",
    "two clocks": "a time of one clock is subtracted from a time of another",
    "opening counted": "what is needed once, before the first message, is counted as if each message needed it",
    "measures itself": "what takes the time is the measuring program, and not what is measured",
    "stops at sending": "the clock is stopped before the work is done",
    "lost left out": "what never arrived is not counted",
    "different messages": "two things are compared that were not given the same messages",
    "best of many": "one run of several is reported, the one that looks best",
}


async def answer_time():
    """How long does a question wait for its answer, on average? One is asked every 100 ms, for a minute."""
    service, took = Service(), []
    for _ in range(600):
        asked = now_ms()
        await service.ask()
        took.append(now_ms() - asked)
        await sleep_ms(100 - took[-1])
    return mean(took)


async def way_up():
    """How long is a message on its way from the phone to the server? The way back is as long."""
    phone, server = phone_and_server()
    sent = phone.clock_ms()
    await travel()
    arrived = server.clock_ms()
    return arrived - sent


async def echo_time():
    """How long does a message over an open WebSocket take until it is back?"""
    took = []
    async with virtual.launch("websocket", rtt_ms=40) as server:
        sent = now_ms()
        async with clients.connect(server.url, "/echo") as socket:
            for _ in range(10):
                await socket.send("hello")
                await socket.recv()
                took.append(now_ms() - sent)
                sent = now_ms()
    return mean(took)


async def last_reader():
    """A server writes a message to 500 phones. How long until the last of them has read it?"""
    server, phones = Machine(), Machine()

    async def read():
        await travel()
        await phones.work(0.2)  # to take the message apart
        return now_ms()

    published, reading = now_ms(), []
    for _ in range(500):
        await server.work(0.02)
        reading.append(asyncio.create_task(read()))
    return max(await asyncio.gather(*reading)) - published


async def capacity():
    """How many messages a second can a connection carry?"""
    line, begun = Line(), now_ms()
    for number in range(5000):
        await line.send(number)
    return 5000 / (now_ms() - begun) * 1000


FIVE = (answer_time, way_up, echo_time, last_reader, capacity)
