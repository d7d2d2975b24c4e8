"""Exercise 7.1: `findings()`, the flaw of each of five benchmarks, and what it should have said."""

import asyncio
from statistics import mean

from labs import clients, models, virtual
from labs.choosing.small_world import Line, Machine, Service, now_ms, phone_and_server, sleep_ms, travel


def right_by_thinking():
    return {
        "answer_time": ("closed loop", 305),
        "way_up": ("two clocks", 30),
        "echo_time": ("opening counted", 40),
        "last_reader": ("measures itself", 40.2),
        "capacity": ("stops at sending", 1000),
    }


def right_by_the_model():
    five = dict.fromkeys(right_by_thinking())
    five["answer_time"] = "closed loop", 5 + models.Stall(6000, 60_000, 10).open_mean
    five["way_up"] = ["two clocks", (50 + 10) / 2]
    five["echo_time"] = "opening counted", models.echo_times(40)["WebSocket, echo"]
    five["last_reader"] = "measures itself", models.last_member_ms(20, 500) + 30 + 0.2
    five["capacity"] = "stops at sending", 1 / 0.001
    return five


async def answer_time():
    service = Service()

    async def ask():
        asked = now_ms()
        await service.ask()
        return now_ms() - asked

    asking = []
    for _ in range(600):
        asking.append(asyncio.create_task(ask()))
        await sleep_ms(100)
    return mean(await asyncio.gather(*asking))


async def way_up():
    phone, _ = phone_and_server()
    sent = phone.clock_ms()
    await travel()
    await travel()
    return (phone.clock_ms() - sent) / 2


async def echo_time():
    took = []
    async with virtual.launch("websocket", rtt_ms=40) as server, clients.connect(server.url, "/echo") as socket:
        for _ in range(10):
            sent = now_ms()
            await socket.send("hello")
            await socket.recv()
            took.append(now_ms() - sent)
    return mean(took)


async def last_reader():
    server = Machine()

    async def read():
        await travel()
        await Machine().work(0.2)
        return now_ms()

    published, reading = now_ms(), []
    for _ in range(500):
        await server.work(0.02)
        reading.append(asyncio.create_task(read()))
    return max(await asyncio.gather(*reading)) - published


async def capacity():
    line, begun = Line(), now_ms()
    for number in range(5000):
        await line.send(number)
    for _ in range(5000):
        await line.receive()
    return 5000 / (now_ms() - begun) * 1000


REPAIRED = (answer_time, way_up, echo_time, last_reader, capacity)
MEASURED = {}


def right_by_repairing():
    for (name, (flaw, _)), repaired in zip(right_by_thinking().items(), REPAIRED, strict=True):
        MEASURED.setdefault(name, (flaw, MEASURED.get(name) or virtual.run(repaired())))
    return MEASURED


def but(**others):
    """Right answers with some that are not."""
    return lambda: right_by_thinking() | others


wrong_not_a_dict = lambda: list(right_by_thinking().values())  # noqa: E731
wrong_unknown_name = but(warm_up=("opening counted", 40))
wrong_not_a_pair = but(way_up="two clocks")
wrong_not_a_pair__number_as_text = but(way_up=("two clocks", "30 ms"))
wrong_unknown_word = but(answer_time=("coordinated omission", 305))
wrong_not_the_flaw_of_answer_time = but(answer_time=("best of many", 305))
wrong_not_the_flaw_of_way_up = but(way_up=("opening counted", 30))
wrong_not_the_flaw_of_echo_time = but(echo_time=("closed loop", 40))
wrong_not_the_flaw_of_last_reader = but(last_reader=("closed loop", 40.2))
wrong_not_the_flaw_of_capacity = but(capacity=("lost left out", 1000))
wrong_believes_answer_time = but(answer_time=("closed loop", 15))
wrong_believes_way_up = but(way_up=("two clocks", 50))
wrong_believes_echo_time = but(echo_time=("opening counted", 48))
wrong_believes_last_reader = but(last_reader=("measures itself", 130.02))
wrong_believes_capacity = but(capacity=("stops at sending", 50_000))
wrong_tells_the_worst = but(answer_time=("closed loop", 6005))
wrong_counts_the_pause_only = but(answer_time=("closed loop", 3005))
wrong_still_two_clocks = but(way_up=("two clocks", 10))
wrong_there_and_back = but(way_up=("two clocks", 60))
wrong_tells_the_opening = but(echo_time=("opening counted", 80))
wrong_tells_the_first = but(echo_time=("opening counted", 120))
wrong_forgets_the_server = but(last_reader=("measures itself", 30.2))
wrong_wrong_number_for_last_reader = but(last_reader=("measures itself", 110.2))
wrong_wrong_unit = but(echo_time=("opening counted", 0.040))
wrong_tells_the_count = but(capacity=("stops at sending", 5000))


def wrong_one_is_missing():
    return {name: found for name, found in right_by_thinking().items() if name != "capacity"}
