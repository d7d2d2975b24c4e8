"""The check of exercise 7.5: positions over a way that loses them, repeats them, and lets them overtake each other."""

import random
from functools import cache

from labs.checks import Exercise, fail
from labs.checks.n06_streams import size

latest = Exercise("7.5", "Latest", "")
EXERCISES = {"7.5": latest}
ROUND = "numbers are on a circle of 65,536: how far is it from the newest to this one, going upward? (number - newest) % 65536"


def played(answer, numbers):
    """What one receiver says to each number, in order: whether its position is to be drawn."""
    receiver, said = answer(), []
    for number in numbers:
        drawn = receiver.take(number)
        if not isinstance(drawn, bool):
            fail("not-a-bool", f"take({number}) returned {drawn!r}", hint="True: draw it; False: it is too old")
        said.append(drawn)
    return said


def expect(answer, script, slug, hint):
    """Numbers separated by blanks; those with a minus sign before them are not to be drawn."""
    numbers = [int(word.removeprefix("-")) for word in script.split()]
    right = [not word.startswith("-") for word in script.split()]
    for place, (got, wanted) in enumerate(zip(played(answer, numbers), right, strict=True)):
        if got != wanted:
            shown = [
                f"take({number})  {'draw' if good else 'too old'}" for number, good in zip(numbers, right, strict=True)
            ]
            shown = [*shown[: place + 1], f"yours says {'draw' if got else 'too old'}"]
            fail(slug, *shown, hint=hint)


@latest.case("two players have nothing in common")
def _(answer):
    if not all([played(answer, [500])[0], played(answer, [3])[0]]):
        shown = ["one = Latest(), other = Latest()", "one.take(500)  draw", "other.take(3)  draw", "yours does not"]
        fail("shares-state", *shown, hint="set what it remembers in __init__, on self")


@latest.case("the first position is drawn, whatever its number")
def _(answer):
    for number in (1, 0, 65535, 40000):
        expect(answer, f"{number}", "refuses-the-first", "before the first one there is no newest")


@latest.case("what is newer is drawn, and nothing waits for what is missing")
def _(answer):
    expect(answer, "1 2 3 4", "refuses-newer", "a higher number is newer")
    expect(answer, "1 2 5 6 300", "waits-for-the-lost", "what is lost is worth nothing any more: draw what has come")


@latest.case("what is older, or has come before, is not drawn")
def _(answer):
    expect(answer, "7 -5", "goes-backward", "is this number newer than the newest that was drawn?")
    expect(answer, "7 -7 8 -8 -7", "draws-twice", "the same number is not newer")
    expect(answer, "10 -7 -8 -9 11", "forgets-the-newest", "only what is drawn becomes the newest")
    expect(answer, "0 1 -0 2", "goes-backward", "0 is a number like any other")


@latest.case("after 65535 comes 0")
def _(answer):
    expect(answer, "65534 65535 0 1 2", "stops-at-the-wrap", ROUND)
    expect(answer, "65530 3 4", "stops-at-the-wrap", ROUND)
    expect(answer, "65534 1 -65535 2", "goes-backward-at-the-wrap", ROUND)
    expect(answer, "0 -65535 -65000 1", "goes-backward-at-the-wrap", ROUND)


@latest.case("half of the circle is newer, the other half is older")
def _(answer):
    for first in (0, 100, 30000, 50000, 65535):
        for ahead in (1, 1000, 20000, 32767):
            expect(answer, f"{first} {(first + ahead) % 65536}", "looks-ahead-too-little", ROUND)
            expect(answer, f"{first} -{(first - ahead) % 65536}", "looks-ahead-too-far", ROUND)


@cache
def game():
    """The numbers of a game as they arrive, unwrapped: some are lost, some come twice, and they overtake each other."""
    draw, arrivals = random.Random(7), []
    for number in range(55_000, 75_000):
        for _ in range(draw.choices((0, 1, 2), (5, 93, 2))[0]):
            arrivals.append((number + draw.choice((0, 0, 0, 1.5, 4.2)) + draw.random() / 10, number))
    return [number for _, number in sorted(arrivals)]


@latest.case("ten minutes of a game, with losses, copies and overtaking: never backward, and nothing new is left out")
def _(answer):
    receiver, newest, before = answer(), 0, 0
    for place, number in enumerate(game()):
        if place == 1000:
            before = size(receiver)
        if receiver.take(number % 65536) is not (number > newest):
            right = "draw" if number > newest else "too old"
            shown = f"the newest was {newest % 65536}, then came {number % 65536}: {right}"
            fail("errs-in-a-long-game", shown, f"it was message {place + 1:,} of the game", hint=ROUND)
        newest = max(newest, number)
    if size(receiver) > before + 100:
        shown = f"{size(receiver) - before:,} more things are kept than after a thousand messages"
        fail("remembers-all", shown, hint="one number is enough: the newest")
