"""Rooms on a cluster of three: where they live, and what happens when one of them moves."""

import os

import pytest
from crowd import becomes
from redis.asyncio import Redis
from redis.exceptions import MovedError

from labs.bus.pubsub import Gap, Message
from labs.bus.redis_process import redis_cluster
from labs.bus.sharded import Sharded, slot_of

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a real Redis is needed")


async def test_room_whose_slot_moves_is_followed_with_a_gap_and_the_others_notice_nothing():
    items = []

    def said(room: str) -> list[str]:
        return [item.data for item in items if isinstance(item, Message) and item.room == room]

    async def heard(room: str, *texts: str) -> bool:
        return said(room) == list(texts)

    async def told_of_a_gap() -> bool:
        return [item.room for item in items if isinstance(item, Gap)] == ["blue"]

    async with (
        redis_cluster(keys=False) as cluster,
        Sharded(cluster.url, items.append) as reader,
        Sharded(cluster.url, print) as writer,
    ):
        for room in ("blue", "red"):
            await reader.open(room)
            await writer.publish(room, "before")
        old, slot = reader.owner("blue"), slot_of("room:blue")
        new = next(node.url for node in cluster.nodes if node.url != old)
        async with Redis.from_url(new) as client:
            name = await client.execute_command("CLUSTER MYID")
        for url in (new, old):
            async with Redis.from_url(url) as client:
                await client.execute_command("CLUSTER SETSLOT", slot, "NODE", name)
        assert await becomes(told_of_a_gap) and reader.owner("blue") == new
        with pytest.raises(MovedError):
            await writer.publish("blue", "to the old owner")
        assert await becomes(lambda: is_true(writer.owner("blue") == new))
        assert await writer.publish("blue", "after") == 1
        await writer.open("blue")
        await writer.publish("red", "after")
        assert await becomes(lambda: heard("blue", "before", "after"))
        assert await becomes(lambda: heard("red", "before", "after"))
        assert await told_of_a_gap()
        await reader.close("blue")
        await writer.close("blue")
        assert await writer.publish("blue", "to nobody") == 0


async def is_true(value: bool) -> bool:
    return value
