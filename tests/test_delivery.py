"""The delivery ladder: what is counted, and that on every rung it is what was predicted."""

import os

import pytest

from labs.bus.delivery import Counts, count, ladder, overtaking

posix = pytest.mark.skipif(os.name != "posix", reason="a real Redis is needed")
GAP = None


@pytest.fixture(autouse=True)
def no_other_redis(monkeypatch):
    monkeypatch.delenv("REDIS_URL", raising=False)


@pytest.mark.parametrize(
    "items, counts",
    [
        ([0, 1, 2, 3], Counts()),
        ([], Counts(lost=4, undetected=4)),
        ([GAP], Counts(lost=4)),
        ([0, 3], Counts(lost=2, undetected=2)),
        ([0, GAP, 3], Counts(lost=2)),
        ([0, GAP, 1, 3], Counts(lost=1, undetected=1)),  # the gap was told somewhere else
        ([0, 1, 2, GAP], Counts(lost=1)),
        ([0, 1, 0, 1, 2, 3], Counts(doubled=2)),
        ([0, 2, 1, 3], Counts(reordered=1)),
        ([3, 0, 1, 2], Counts(reordered=3)),
        ([0, GAP, 2, 1, 3], Counts(reordered=1)),
        ([0, GAP, 0, 3], Counts(lost=2, doubled=1)),
        ([0, 2, 0, 1, 1], Counts(lost=1, doubled=2, reordered=1, undetected=1)),
    ],
)
def test_delivered_messages_are_counted_by_what_became_of_them(items, counts):
    assert count(items, 4) == counts


def test_reader_that_does_not_listen_to_gaps_detects_nothing():
    assert count([0, GAP, 3], 4, told=False) == Counts(lost=2, undetected=2)


@posix
async def test_every_rung_loses_and_doubles_what_is_predicted():
    records = {record.rung: record for record in await ladder(seed=1)}
    assert list(records) == ["Pub/Sub", "Pub/Sub, gaps told", "Streams", "Streams, copies dropped"]
    assert all(record.counted == record.predicted for record in records.values()), records
    bottom, told, streams, top = (record.counted for record in records.values())
    assert bottom.lost == bottom.undetected == told.lost > 0 == told.undetected and streams.doubled == told.doubled > 0
    assert top == Counts() and records["Pub/Sub, gaps told"].gaps == 2


@posix
async def test_messages_published_by_a_task_each_overtake_one_another():
    found = await overtaking(50)
    assert found["a task for each message"].reordered > 0 and found["one line"] == Counts()
