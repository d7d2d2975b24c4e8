"""The rooms contract without I/O: what is asked for, who is told what, and the registry against a trivial model."""

import json
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labs.rooms.codec import Refusal, Request, is_name, parse, to_json
from labs.rooms.registry import CROWD, Limits, Room, Rooms


@dataclass(eq=False)
class Somebody:
    name: str
    rooms: list = field(default_factory=list)
    heard: list = field(default_factory=list)


def ask(rooms: Rooms, member: Somebody, type: str, room: str, **more):
    deliver(rooms.receive(member, json.dumps({"type": type, "room": room, **more})))


def deliver(deliveries):
    """Hand everything out at once, as a server does."""
    for recipients, message in deliveries:
        for member in list(recipients.members if isinstance(recipients, Room) else recipients):
            member.heard.append(message)


def new(name: str = "ada") -> Somebody:
    return Somebody(name)


def heard(member: Somebody) -> list:
    """What it has heard since it was last asked."""
    news, member.heard = member.heard, []
    return news


def presence(room: str = "blue", **what) -> dict:
    return {"type": "presence", "room": room, **what}


# What a frame asks for.


def test_three_types_are_understood():
    assert parse('{"type":"join","room":"blue"}') == Request("join", "blue")
    assert parse('{"type":"leave","room":"blue"}') == Request("leave", "blue")
    assert parse('{"type":"message","room":"blue","text":"hi"}') == Request("message", "blue", "hi")
    assert parse('{"type":"join","room":"blue","and":"more"}') == Request("join", "blue")


BAD_ROOMS = ["", "Blue", "blue ", "blue\n", "*", "?", "[a]", "a.b", "ü", "a" * 65, "\0", 7, None, ["blue"], {}]
REFUSED = {
    "nothing": ("", "bad_json"),
    "words": ("hello", "bad_json"),
    "half an object": ('{"type":"join"', "bad_json"),
    "two objects": ('{"type":"join","room":"blue"}{}', "bad_json"),
    "a list": ("[]", "bad_json"),
    "a string": ('"join"', "bad_json"),
    "a number of 5,000 digits": ("1" * 5000, "bad_json"),
    "30,000 levels": ("[" * 30_000, "bad_json"),
    "30,000 closed levels": ('{"type":' * 30_000 + "1" + "}" * 30_000, "bad_json"),
    "bytes that are no text": (b"\xff\xfe\xff", "bad_json"),
    "no type": ("{}", "unknown_type"),
    "another type": ('{"type":"shout","room":"blue"}', "unknown_type"),
    "a reply's type": ('{"type":"joined","room":"blue"}', "unknown_type"),
    "a type that is a list": ('{"type":["join"],"room":"blue"}', "unknown_type"),
    "no text": ('{"type":"message","room":"blue"}', "bad_text"),
    "empty text": ('{"type":"message","room":"blue","text":""}', "bad_text"),
    "text that is a number": ('{"type":"message","room":"blue","text":7}', "bad_text"),
    "half a character": ('{"type":"message","room":"blue","text":"\\ud83d"}', "bad_text"),
    "no room": ('{"type":"join"}', "bad_room"),
    **{f"room {room!r}": (json.dumps({"type": "join", "room": room}), "bad_room") for room in BAD_ROOMS},
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_message_gets_an_error_and_changes_nothing(case):
    text, code = REFUSED[case]
    rooms, ada = Rooms(), new()
    with pytest.raises(Refusal) as refusal:
        parse(text)
    assert refusal.value.code == code
    deliver(rooms.receive(ada, text))
    assert [(said["type"], said["code"], set(said)) for said in heard(ada)] == [
        ("error", code, {"type", "code", "detail"})
    ]
    assert (rooms.rooms, ada.rooms) == ({}, [])


@given(st.text() | st.binary())
def test_whatever_is_sent_is_understood_or_refused(text):
    try:
        assert parse(text).type in ("join", "leave", "message")
    except Refusal as refusal:
        assert json.loads(to_json(refusal.message()))["type"] == "error"


@given(st.text(min_size=1))
def test_text_travels_unchanged(text):
    try:
        asked = parse(json.dumps({"type": "message", "room": "blue", "text": text}))
    except Refusal:
        with pytest.raises(UnicodeEncodeError):
            text.encode()
    else:
        assert json.loads(to_json({"text": asked.text}).encode())["text"] == text


@pytest.mark.parametrize(
    "name, good",
    [("ada", True), ("Ada Lovelace", True), ("Żółć 🎉", True), ("a" * 32, True), ("a" * 33, False), ("", False)]
    + [(bad, False) for bad in (" ada", "ada ", "a\nb", "a\0", "a\u202eb", "\ud800", "a\u200bb", " ")],
)
def test_name_is_printable_and_short(name, good):
    assert is_name(name) is good


# Who is told what.


def test_those_in_the_room_hear_of_one_another_and_of_every_message():
    rooms, ada, bob = Rooms(clock=count(1000).__next__), new("ada"), new("bob")
    ask(rooms, ada, "join", "blue")
    assert heard(ada) == [{"type": "joined", "room": "blue", "members": ["ada"]}]
    ask(rooms, bob, "join", "blue")
    assert heard(bob) == [{"type": "joined", "room": "blue", "members": ["ada", "bob"]}]
    assert heard(ada) == [presence(joined="bob")]
    ask(rooms, ada, "message", "blue", text="hi")
    ask(rooms, bob, "message", "blue", text="ho")
    said = [
        {"type": "message", "room": "blue", "id": 1, "sender": "ada", "text": "hi", "at": 1000},
        {"type": "message", "room": "blue", "id": 2, "sender": "bob", "text": "ho", "at": 1001},
    ]
    assert heard(ada) == heard(bob) == said
    ask(rooms, ada, "leave", "blue")
    assert heard(ada) == [{"type": "left", "room": "blue"}]
    assert heard(bob) == [presence(left="ada")]
    ask(rooms, bob, "message", "blue", text="anyone?")
    assert heard(ada) == []


def test_rooms_do_not_hear_one_another():
    rooms, ada, bob = Rooms(), new("ada"), new("bob")
    ask(rooms, ada, "join", "blue")
    ask(rooms, bob, "join", "red")
    heard(ada), heard(bob)
    ask(rooms, ada, "message", "blue", text="hi")
    assert [said["id"] for said in heard(ada)] == [1]
    assert heard(bob) == []
    ask(rooms, bob, "message", "red", text="ho")
    assert [said["id"] for said in heard(bob)] == [1]  # each room counts for itself


@pytest.mark.parametrize("type", ["leave", "message"])
@pytest.mark.parametrize("somebody_is_there", [False, True])
def test_outside_a_room_nothing_is_said_in_it(type, somebody_is_there):
    rooms, ada, bob = Rooms(), new("ada"), new("bob")
    if somebody_is_there:
        ask(rooms, bob, "join", "blue")
    heard(bob)
    ask(rooms, ada, type, "blue", text="hi")
    assert [said["code"] for said in heard(ada)] == ["not_joined"]
    assert heard(bob) == []


def test_joining_again_tells_who_is_there_and_nobody_else():
    rooms, ada, bob = Rooms(), new("ada"), new("bob")
    ask(rooms, ada, "join", "blue")
    ask(rooms, bob, "join", "blue")
    heard(ada), heard(bob)
    ask(rooms, ada, "join", "blue")
    assert heard(ada) == [{"type": "joined", "room": "blue", "members": ["ada", "bob"]}]
    assert heard(bob) == []
    deliver(rooms.depart(ada))
    assert heard(bob) == [presence(left="ada")]  # once


def test_second_tab_of_the_same_person_is_no_second_person():
    rooms, bob, tabs = Rooms(), new("bob"), [new("ada"), new("ada")]
    ask(rooms, bob, "join", "blue")
    for tab in tabs:
        ask(rooms, tab, "join", "blue")
    assert [said for said in heard(bob) if said["type"] == "presence"] == [presence(joined="ada")]
    assert heard(tabs[1]) == [{"type": "joined", "room": "blue", "members": ["ada", "bob"]}]
    deliver(rooms.depart(tabs[0]))
    assert heard(bob) == []
    deliver(rooms.depart(tabs[1]))
    assert heard(bob) == [presence(left="ada")]


def test_who_vanishes_leaves_every_room_and_nothing_behind():
    rooms, ada, bob = Rooms(), new("ada"), new("bob")
    for room in ("blue", "red", "green"):
        ask(rooms, ada, "join", room)
    for room in ("red", "blue"):
        ask(rooms, bob, "join", room)
    heard(bob)
    deliver(rooms.depart(ada))
    assert heard(bob) == [presence("blue", left="ada"), presence("red", left="ada")]
    assert ada.rooms == []
    assert list(rooms.rooms) == ["blue", "red"]
    assert rooms.depart(ada) == []  # twice does no harm
    deliver(rooms.depart(bob))
    assert rooms.rooms == {}


# In a crowd.


def crowd_of(size: int, rooms: Rooms) -> list[Somebody]:
    members = [new(f"m{n:03}") for n in range(size)]
    for member in members:
        ask(rooms, member, "join", "blue")
    return members


def test_above_fifty_members_only_their_number_is_told_once_for_all():
    rooms = Rooms()
    members = crowd_of(CROWD, rooms)
    assert heard(members[-1]) == [{"type": "joined", "room": "blue", "members": [f"m{n:03}" for n in range(CROWD)]}]
    assert len(heard(members[0])) == 1 + CROWD - 1  # its own `joined`, and everybody else's arrival
    assert rooms.counts() == []
    more = [new("eve"), new("zoe")]
    for member in more:
        ask(rooms, member, "join", "blue")
    assert [heard(member) for member in more] == [[{"type": "joined", "room": "blue", "count": n}] for n in (51, 52)]
    assert heard(members[0]) == []
    deliver(rooms.counts())
    assert heard(members[0]) == heard(more[0]) == [presence(count=52)]
    assert rooms.counts() == []


def test_crowd_that_scatters_is_counted_once_more():
    rooms = Rooms()
    members = crowd_of(CROWD + 5, rooms)
    deliver(rooms.counts())
    for member in members[:10]:
        deliver(rooms.depart(member))
    heard(members[-1])
    deliver(rooms.counts())  # the room is small again, but those who were there then have never been named
    assert heard(members[-1]) == [presence(count=CROWD - 5)]
    for member in members[10:]:
        deliver(rooms.depart(member))
    assert rooms.counts() == []


def test_n_that_join_cost_no_more_than_fifty_times_as_many_messages():
    members = crowd_of(500, Rooms())
    assert sum(len(member.heard) for member in members) <= 500 + CROWD * CROWD / 2


# Limits.


def test_too_many_rooms_or_members_get_an_error_and_join_nothing():
    rooms = Rooms(limits=Limits(rooms_each=2, rooms=3, members=2))
    ada, bob, eve = new("ada"), new("bob"), new("eve")
    for room in ("a", "b", "c"):
        ask(rooms, ada, "join", room)
    assert [said.get("code", "") for said in heard(ada)] == ["", "", "too_many_rooms"]
    for room in ("a", "c", "d"):
        ask(rooms, bob, "join", room)
    assert [said.get("code", "") for said in heard(bob)] == ["", "", "too_many_rooms"]
    ask(rooms, eve, "join", "d")
    ask(rooms, eve, "join", "a")
    assert [said.get("code", "") for said in heard(eve)] == ["too_many_rooms", "room_full"]
    assert {name: [member.name for member in room.members] for name, room in rooms.rooms.items()} == {
        "a": ["ada", "bob"],
        "b": ["ada"],
        "c": ["bob"],
    }
    ask(rooms, ada, "leave", "b")
    ask(rooms, eve, "join", "d")
    assert [said["type"] for said in heard(eve)] == ["joined"]


# The registry against a trivial model: a list of (member, room) in the order of joining.

WHO, WHERE = st.integers(0, 5), st.sampled_from(["a", "b", "c"])
STEPS = st.lists(st.tuples(st.sampled_from(["join", "join", "leave", "message", "depart"]), WHO, WHERE), max_size=60)


def stepped(model: list, type: str, member: Somebody, room: str) -> list:
    """The model after one step; two rooms each are allowed."""
    if type == "join" and (member, room) not in model and len(rooms_of(model, member)) < 2:
        return [*model, (member, room)]
    gone = {"leave": {room}, "depart": {"a", "b", "c"}}.get(type, set())
    return [(one, where) for one, where in model if one is not member or where not in gone]


def rooms_of(model: list, member: Somebody) -> list:
    return [where for one, where in model if one is member]


def members_by_room(model: list) -> dict:
    return {room: [one for one, where in model if where == room] for room in {where for _, where in model}}


def names_in(model: list, room: str) -> set:
    return {member.name for member, where in model if where == room}


@given(STEPS)
def test_registry_agrees_with_a_list_of_pairs(steps):
    rooms, model = Rooms(limits=Limits(rooms_each=2)), []
    members = [new(name) for name in ("ada", "ada", "bob", "bob", "eve", "zoe")]
    for type, number, where in steps:
        actor, before = members[number], model
        if type == "depart":
            deliver(rooms.depart(actor))
        else:
            ask(rooms, actor, type, where, text="x")
        model = stepped(model, type, actor, where)
        assert {name: list(room.members) for name, room in rooms.rooms.items()} == members_by_room(model)
        for member in members:
            assert [room.name for room in member.rooms] == rooms_of(model, member)
            news = heard(member)
            is_told = type == "message" and (actor, where) in model and (member, where) in model
            assert [said["text"] for said in news if said["type"] == "message"] == ["x"] * is_told
            if member is not actor:
                told = [said for said in news if said["type"] == "presence"]
                assert sorted(told, key=str) == sorted(changes(before, model, member), key=str)


def changes(before: list, after: list, member: Somebody) -> list:
    """What a member is told of those who have come and gone."""
    told = []
    for room in rooms_of(after, member):
        told += [presence(room, left=name) for name in names_in(before, room) - names_in(after, room)]
        told += [presence(room, joined=name) for name in names_in(after, room) - names_in(before, room)]
    return told
