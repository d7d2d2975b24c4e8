"""A cluster of three real nodes, of which one is killed: its rooms tell of the gap, the others notice nothing."""

import os

import pytest

from labs.delivery import Counts
from labs.outage import node_killed


@pytest.mark.skipif(os.name != "posix", reason="a real Redis is needed")
async def test_killed_node_silences_its_own_rooms_and_they_tell_of_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))  # the Redis in the wheel
    outage = await node_killed(down_s=0.3, killed=2)
    assert sorted(room.node for room in outage.rooms) == [1, 1, 2, 2, 3, 3]
    for room in outage.rooms:
        gaps = room.items.count(None)
        if room.node == 2:
            assert gaps >= 1 and room.counts.undetected == room.counts.doubled == 0 and room.silent_s > 0.29
        else:
            assert gaps == 0 and room.counts == Counts() and len(room.items) == outage.published
