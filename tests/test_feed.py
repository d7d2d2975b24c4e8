"""The feed: numbers without gaps, cursors that cannot be mistaken, and no silent hole."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated import now_ms, simulated

from labs.clock import now_ns
from labs.feed import BadCursor, Event, Feed, Gone

EPOCH = "1234abcd"


def small_feed(count: int, *, keep: int = 10_000) -> Feed:
    """A feed with events 1 to `count`, whose data are their numbers."""
    feed = Feed(keep=keep, epoch=EPOCH, clock=lambda: 5)
    for number in range(1, count + 1):
        feed.publish(str(number))
    return feed


def ids(events: list[Event]) -> list[int]:
    return [event.id for event in events]


def test_events_are_numbered_from_one_and_carry_their_own_cursor():
    feed = Feed(epoch=EPOCH, clock=iter((10, 20)).__next__)
    assert feed.cursor == "1234abcd-0"
    assert feed.publish("a") == Event(1, 10, "a", "1234abcd-1")
    assert feed.publish("") == Event(2, 20, "", "1234abcd-2")
    assert feed.cursor == "1234abcd-2"


def test_event_travels_as_one_line_of_compact_json():
    event = Event(7, 81273912, 'a "b"\n\u2028é', "1234abcd-7")
    assert event.to_json() == '{"id":7,"at":81273912,"data":"a \\"b\\"\\n\u2028é","cursor":"1234abcd-7"}'


@given(st.text())
def test_any_text_survives_the_journey(text):
    assert Event(**json.loads(Event(1, 2, text, "c").to_json())).data == text


def test_stamp_is_of_the_one_monotonic_clock():
    before = now_ns()
    assert before <= Feed().publish("x").at <= now_ns()


def test_every_feed_has_an_epoch_of_its_own():
    assert len({Feed().epoch for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "after, expected",
    [(None, [3, 4, 5]), (2, [3, 4, 5]), (3, [4, 5]), (4, [5]), (5, []), (1, Gone), (0, Gone), (6, BadCursor)],
)
def test_since_gives_what_is_newer_or_says_why_not(after, expected):
    feed = small_feed(5, keep=3)
    cursor = None if after is None else f"{EPOCH}-{after}"
    if isinstance(expected, list):
        assert ids(feed.since(cursor)) == expected
    else:
        with pytest.raises(expected):
            feed.since(cursor)


@given(st.integers(0, 40), st.integers(1, 12), st.integers(0, 45))
def test_since_agrees_with_a_list_of_everything(count, keep, after):
    everything = list(range(1, count + 1))
    feed, cursor = small_feed(count, keep=keep), f"{EPOCH}-{after}"
    if after > count:
        with pytest.raises(BadCursor):
            feed.since(cursor)
    elif after < count - keep:
        with pytest.raises(Gone):
            feed.since(cursor)
    else:
        assert ids(feed.since(cursor)) == everything[after:]
    assert ids(feed.since()) == everything[-keep:]


@given(st.data())
def test_reader_who_keeps_up_gets_everything_once_however_it_asks(data):
    feed, cursor, got = Feed(keep=5, epoch=EPOCH), None, []
    for burst in data.draw(st.lists(st.integers(0, 5), max_size=20)):
        for _ in range(burst):
            feed.publish("x")
        got += (news := feed.since(cursor))
        cursor = news[-1].cursor if news else cursor
    assert ids(got) == list(range(1, len(got) + 1)) and len(got) == feed._last_id


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "7",
        "-1",
        "1234abcd",
        "1234abcd-",
        "1234abcd--1",
        "1234abcd-01",
        "1234abcd-1 ",
        "1234abcd-1\n",
        " 1234abcd-1",
        "1234ABCD-1",
        "1234abcd-१",
        "1234abcd-1e1",
        "1234abcde-1",
        "1234abcd-" + "1" * 5000,
        "1234abcd-" + "9" * 16,
    ],
)
def test_text_that_is_no_cursor_is_refused(cursor):
    with pytest.raises(BadCursor):
        small_feed(3).since(cursor)


@given(st.text(max_size=30))
def test_any_text_is_a_cursor_or_refused(text):
    with pytest.raises((BadCursor, Gone)):
        small_feed(3).since(text)


@pytest.mark.parametrize("number", [0, 1, 3, 999])
def test_cursor_of_another_epoch_is_gone_whatever_its_number(number):
    with pytest.raises(Gone, match="before the server restarted"):
        small_feed(3).since(f"0000abcd-{number}")


def test_refusals_carry_their_http_status():
    assert (Gone.status, BadCursor.status) == (410, 400)


def test_what_is_no_longer_kept_is_named():
    with pytest.raises(Gone, match="events 3 to 7 are no longer kept"):
        small_feed(10, keep=3).since(f"{EPOCH}-2")


# Waiting, in virtual time.


@simulated
async def test_wait_returns_at_once_when_there_is_something():
    feed = small_feed(3)
    assert ids(await feed.wait(f"{EPOCH}-1")) == [2, 3]
    assert ids(await feed.wait()) == [1, 2, 3]
    assert now_ms() == 0


@simulated
async def test_wait_wakes_everybody_when_an_event_is_published():
    feed = small_feed(0)
    asyncio.get_running_loop().call_later(7, feed.publish, "x")
    got = await asyncio.gather(*(feed.wait(f"{EPOCH}-0") for _ in range(100)))
    assert [ids(events) for events in got] == [[1]] * 100
    assert now_ms() == 7000


@simulated
async def test_burst_that_wakes_a_reader_is_delivered_whole():
    feed = small_feed(0)
    waiting = asyncio.create_task(feed.wait())
    await asyncio.sleep(1)
    for text in "abc":
        feed.publish(text)
    assert [event.data for event in await waiting] == ["a", "b", "c"]


@simulated
async def test_event_published_at_any_turn_of_a_readers_work_is_not_missed():
    for turns in range(10):
        feed = small_feed(0)
        reading = asyncio.create_task(anext(feed.follow()))
        for _ in range(turns):
            await asyncio.sleep(0)
        feed.publish("x")
        assert (await asyncio.wait_for(reading, 1)).id == 1, turns


@simulated
async def test_wait_refuses_what_since_refuses():
    feed = small_feed(5, keep=2)
    with pytest.raises(Gone):
        await feed.wait(f"{EPOCH}-0")
    with pytest.raises(BadCursor):
        await feed.wait(f"{EPOCH}-6")


@simulated
async def test_waiting_reader_who_wakes_too_late_is_told():
    feed = small_feed(0, keep=2)
    waiting = asyncio.create_task(feed.wait(f"{EPOCH}-0"))
    await asyncio.sleep(1)
    for _ in range(3):
        feed.publish("x")
    with pytest.raises(Gone):
        await waiting


@simulated
async def test_waiting_leaves_nothing_behind_when_it_is_given_up():
    feed = small_feed(0)
    waiting = [asyncio.create_task(feed.wait()) for _ in range(100)]
    await asyncio.sleep(1)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert len(feed._published._waiters) == 0


@simulated
async def test_follow_yields_every_event_once_as_it_comes():
    feed, got = small_feed(2), []

    async def publish():
        for n in range(3, 6):
            await asyncio.sleep(1)
            feed.publish(str(n))

    publishing = asyncio.create_task(publish())
    async for event in feed.follow(f"{EPOCH}-1"):
        got.append((now_ms(), event.id))
        if event.id == 5:
            break
    await publishing
    assert got == [(0, 2), (1000, 3), (2000, 4), (3000, 5)]


@simulated
async def test_follower_who_is_too_slow_is_told_and_gets_no_hole():
    feed = small_feed(3, keep=3)
    events = feed.follow()
    got = [(await anext(events)).id]
    for n in range(4, 8):
        feed.publish(str(n))
    got += [(await anext(events)).id, (await anext(events)).id]  # it holds these already
    assert got == [1, 2, 3]
    with pytest.raises(Gone):
        await anext(events)
