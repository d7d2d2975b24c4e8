"""The five ways to broadcast: everybody gets everything once and in order, whoever leaves; and what one stalled member does."""

import asyncio
from contextlib import AsyncExitStack

import pytest
import websockets
from simulated import simulated

from labs import clients, virtual
from labs.rooms.outbox import BACKLOG
from labs.servers.broadcast import WAYS, way

every_way = pytest.mark.parametrize("name", WAYS)
WATER = 32 * 1024  # bytes in the transport from which on `websockets` lets `send` wait


async def room_of(stack: AsyncExitStack, name: str, size: int):
    """A server that broadcasts in this way, and so many members."""
    server = await stack.enter_async_context(virtual.launch("broadcast", way=WAYS[name]))
    members = [await stack.enter_async_context(clients.connect(server.origin, "/room")) for _ in range(size)]
    return server, members


async def hear(member, count: int) -> list[str]:
    return [await member.recv() for _ in range(count)]


async def silent(member) -> bool:
    """Whether nothing more comes within a second."""
    try:
        async with asyncio.timeout(1):
            await member.recv()
    except TimeoutError:
        return True
    return False


@every_way
@simulated
async def test_everybody_gets_every_message_once_and_in_order(name):
    texts = [f"{number} né" for number in range(100)] + ["", "x" * 70_000]
    async with AsyncExitStack() as stack:
        _, members = await room_of(stack, name, 4)
        for text in texts:
            await members[1].send(text)
        for member in members:
            assert await hear(member, len(texts)) == texts
            assert await silent(member)


@every_way
@simulated
async def test_everybody_hears_two_speakers_in_one_and_the_same_order(name):
    async with AsyncExitStack() as stack:
        _, members = await room_of(stack, name, 3)
        for number in range(50):
            await asyncio.gather(members[0].send(f"a{number}"), members[1].send(f"b{number}"))
        heard = [await hear(member, 100) for member in members]
    assert heard[0] == heard[1] == heard[2]
    for speaker in "ab":
        assert [text for text in heard[0] if text[0] == speaker] == [f"{speaker}{number}" for number in range(50)]


@every_way
@simulated
async def test_members_who_leave_or_vanish_hurt_nobody(name):
    async with AsyncExitStack() as stack:
        server, members = await room_of(stack, name, 5)
        for number in range(30):
            await members[0].send(str(number))
            if number == 10:
                await members[3].close()
            if number == 20:
                members[4].transport.abort()
        for member in members[:3]:
            assert await hear(member, 30) == [str(number) for number in range(30)]
        assert (await server.usage())["members"] == 3


@every_way
@simulated
async def test_newcomer_hears_what_is_said_from_then_on(name):
    async with AsyncExitStack() as stack:
        server, members = await room_of(stack, name, 2)
        await members[0].send("before")
        assert await members[1].recv() == "before"
        newcomer = await stack.enter_async_context(clients.connect(server.origin, "/room"))
        await members[0].send("after")
        assert await newcomer.recv() == "after"


async def with_one_stalled(stack: AsyncExitStack, name: str, count: int = 1000):
    """One member of three stops reading, and another says a thousand times 1 KiB: the server, the members, what came when."""
    server, members = await room_of(stack, name, 3)
    members[1].transport.pause_reading()
    arrived: list[float] = []
    clock = asyncio.get_running_loop().time

    async def listen():
        async for text in members[2]:
            arrived.append(clock() - float(text.strip()))

    async def speak():
        for _ in range(count):
            await members[0].send(f"{clock():<1024}")
            await asyncio.sleep(0.002)

    async def drain():
        async for _ in members[0]:
            pass

    tasks = [asyncio.create_task(work()) for work in (listen, speak, drain)]
    stack.callback(lambda: [task.cancel() for task in tasks])
    await asyncio.sleep(3)
    return server, members, arrived


@pytest.mark.parametrize("name", ["in_turn", "gather"])
@simulated
async def test_with_a_stalled_member_whoever_waits_for_each_stops_everybody(name):
    async with AsyncExitStack() as stack:
        server, members, arrived = await with_one_stalled(stack, name)
        assert len(arrived) < 500
        assert WATER < (await server.usage())["held"] < WATER + 2048
        members[1].transport.resume_reading()
        assert len(await hear(members[1], 1000)) == 1000
        await asyncio.sleep(1)
        assert len(arrived) == 1000 and max(arrived) > 1  # nothing is lost, all is late


@pytest.mark.parametrize("name", ["tasks", "broadcast"])
@simulated
async def test_with_a_stalled_member_whoever_waits_for_none_holds_everything(name):
    async with AsyncExitStack() as stack:
        server, members, arrived = await with_one_stalled(stack, name)
        assert len(arrived) == 1000 and max(arrived) < 0.01
        usage = await server.usage()
        assert usage["held"] > 800 * 1024
        assert (usage["tasks"] > 800) == (name == "tasks")
        members[1].transport.resume_reading()
        assert len(await hear(members[1], 1000)) == 1000


@simulated
async def test_with_a_stalled_member_the_joined_way_lets_it_go_and_says_why():
    async with AsyncExitStack() as stack:
        server, members, arrived = await with_one_stalled(stack, "joined")
        assert len(arrived) == 1000 and max(arrived) < 0.01
        assert BACKLOG < (await server.usage())["held"] < BACKLOG + 2048
        members[1].transport.resume_reading()
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await hear(members[1], 1000)
        assert closed.value.rcvd.code == 1013
        await asyncio.sleep(1)
        usage = await server.usage()
        assert (usage["held"], usage["members"]) == (0, 2)


@simulated
async def test_stalled_member_that_never_reads_again_is_cut_off_in_the_end():
    async with AsyncExitStack() as stack:
        server, _, _ = await with_one_stalled(stack, "joined")
        await asyncio.sleep(10)
        usage = await server.usage()
        assert (usage["held"], usage["members"]) == (0, 2)


def test_way_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="no such way"):
        way("shout")


@simulated
async def test_experiment_has_no_page():
    async with virtual.launch("broadcast") as server, clients.session() as http, http.get(server.origin) as response:
        assert response.status == 404
