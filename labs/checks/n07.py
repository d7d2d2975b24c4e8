"""The checks of notebook 07: five benchmarks, six products; the fair benchmark, the fallback and the game have their own."""

from labs import models
from labs.checks import Exercise, fail, n07_benchmark, n07_follow, n07_latest
from labs.choosing.benchmarks import FIVE, FLAWS
from labs.choosing.small_world import ANSWER_MS, CARRY_MS, PAUSE_MS, SEND_MS, TRAVEL_MS

findings = Exercise("7.1", "findings", "")
choices = Exercise("7.3", "choices", "")
EXERCISES = {exercise.number: exercise for exercise in (findings, choices)}
EXERCISES |= n07_benchmark.EXERCISES | n07_follow.EXERCISES | n07_latest.EXERCISES


def pairs(answer, name, keys, first):
    """The dict that the answer returns: for each key two things, some text and a number."""
    got = answer()
    if not isinstance(got, dict):
        fail("not-a-dict", f"{name}() returned {got!r}", hint=f"a dict: for each of the {len(keys)} names a pair")
    if odd := [key for key in got if key not in keys]:
        fail("unknown-name", f"there is no {odd[0]!r}", f"the names are {', '.join(keys)}", hint="spelled like this")
    if missing := [key for key in keys if key not in got]:
        fail("one-is-missing", f"{', '.join(missing)}: nothing yet", hint=f"all {len(keys)} of them")
    for key, value in got.items():
        is_pair = isinstance(value, tuple | list) and len(value) == 2 and isinstance(value[0], str)
        if not is_pair or not isinstance(value[1], int | float) or isinstance(value[1], bool):
            fail("not-a-pair", f"{key}: {value!r}", hint="two things: a text and a number")
        if value[0] not in first:
            fail("unknown-word", f"{key}: {value[0]!r}", f"one of {', '.join(first)}", hint="spelled like this")
    return got


def near(got, right, share=0.02):
    """Whether a number is right, give or take."""
    return abs(got - right) <= share * abs(right)


# 7.1 findings() -> {benchmark: (flaw, what it should have said)}

NAMES = tuple(one.__name__ for one in FIVE)
PAUSE, TOTAL = PAUSE_MS[1] - PAUSE_MS[0], 60_000.0
FLAW = dict(zip(NAMES, FLAWS, strict=False))
SAID = {
    "answer_time": ANSWER_MS + PAUSE / 600,
    "way_up": 50.0,
    "echo_time": (3 * 40 + 9 * 40) / 10,
    "last_reader": 0.02 + TRAVEL_MS + 500 * 0.2,
    "capacity": 1000 / SEND_MS,
}
RIGHT = {
    "answer_time": ANSWER_MS + models.Stall(PAUSE, TOTAL, 10).open_mean,
    "way_up": TRAVEL_MS,
    "echo_time": 40.0,
    "last_reader": 500 * 0.02 + TRAVEL_MS + 0.2,
    "capacity": 1000 / CARRY_MS,
}
LOOK = {
    "answer_time": "while the service stands still, how many questions fall due, and how many does the benchmark ask?",
    "way_up": "set the server's clock forward by an hour: what does the benchmark say then?",
    "echo_time": "look at the ten numbers before they are averaged: which one is different, and why?",
    "last_reader": "let the server and the network take no time at all: what does the benchmark say then?",
    "capacity": "where are the 5,000 messages at the moment at which the clock is stopped?",
}
REPAIR = {
    "answer_time": "ask every 100 ms whatever happens, each question in a task of its own, and then average them all",
    "way_up": "let the message come back, and look at one clock only: there and back is twice as long",
    "echo_time": "start the clock when the socket is open",
    "last_reader": "give each phone a machine of its own: Machine() in `read`",
    "capacity": "stop the clock when the last message has been received at the other end",
}
ALSO_WRONG = {
    "answer_time": {PAUSE + ANSWER_MS: "tells-the-worst", PAUSE / 2 + ANSWER_MS: "counts-the-pause-only"},
    "way_up": {10.0: "still-two-clocks", 60.0: "there-and-back"},
    "echo_time": {20.0: "one-way-only", 120.0: "tells-the-first", 80.0: "tells-the-opening"},
    "last_reader": {TRAVEL_MS: "forgets-the-server", 30.22: "forgets-the-server"},
    "capacity": {5000.0: "tells-the-count"},
}


def read_findings(answer):
    """What the answer has found."""
    return pairs(answer, "findings", NAMES, FLAWS)


@findings.case("for each of the five benchmarks a flaw and a number")
def _(answer):
    read_findings(answer)


@findings.case("each flaw is the one that this benchmark has")
def _(answer):
    for name, (flaw, _) in read_findings(answer).items():
        if flaw != FLAW[name]:
            shown = [f"{name}: {flaw!r}", f"that is: {FLAWS[flaw]}"]
            fail(f"not-the-flaw-of-{name.replace('_', '-')}", *shown, hint=LOOK[name])


for name in NAMES:

    @findings.case(f"what {name} should have said")
    def _(answer, name=name):
        number = read_findings(answer)[name][1]
        if near(number, RIGHT[name], 0.05 if name in ("answer_time", "capacity") else 0.02):
            return
        unit = "messages a second" if name == "capacity" else "ms"
        if near(number, SAID[name]):
            fail(f"believes-{name.replace('_', '-')}", f"{number:g} {unit} is what it says", hint=REPAIR[name])
        slug = next((slug for wrong, slug in ALSO_WRONG[name].items() if near(number, wrong, 0.005)), "")
        if any(near(number, RIGHT[name] * factor, 0.05) for factor in (0.001, 1000)):
            slug = "wrong-unit"
        shown = f"{name}: {number:g} {unit} is not it; the benchmark says {SAID[name]:g}"
        fail(slug or f"wrong-number-for-{name.replace('_', '-')}", shown, hint=REPAIR[name])


# 7.3 choices() -> {product: (transport, the number that decides)}

TRANSPORTS = {
    "polling": "a plain request now and then, to ask or to tell",
    "long_polling": "requests that wait for news",
    "sse": "a response without end, and requests for the way up",
    "websocket": "one socket for both ways",
    "datagrams": "messages over UDP that may be lost and overtake one another",
}


def post_bytes(size):
    """A POST of so many bytes."""
    return sum(models.publish_request("chat.example", "x" * size).values())


LOSES = ("loses-what-counts", "datagrams may be lost, and nobody sends them again")
AWAKE = ("keeps-the-radio-awake", "a connection stays alive by small messages, several a minute, day and night")
WAITS = ("stale", "it is TCP: behind a lost packet all others wait, and are old when they come")


def late(mean_ms, budget_ms):
    """Why a transport is out whose mean delay is above the budget."""
    return "too-late", f"the model's mean is {mean_ms:.0f} ms, and it may be {budget_ms}"


# For each product: what is asked, the number for each choice that keeps the budget, why others do not, numbers that are
# known to be wrong, and a hint for the number.
PRODUCTS = {
    "score": (
        "requests a second that reach the servers, if the phones poll",
        dict.fromkeys(("sse", "websocket"), models.polling_requests_per_s(10_000) * 200_000),
        {
            "polling": ("too-many-requests", "that is 20,000 requests a second, and the servers bear 2,000"),
            "long_polling": ("all-ask-at-once", "after each goal 200,000 phones ask again within one round trip"),
            "datagrams": LOSES,
        },
        {0.1: "forgets-the-readers", 200_000: "polls-too-often", 2_000_000: "polls-too-often"},
        "models.polling_requests_per_s is for one phone; how long may the interval be?",
    ),
    "editor": (
        "mean delay from one screen to the other, ms",
        dict.fromkeys(("sse", "websocket"), 30 + models.pushed(60).mean),
        {
            "polling": late(30 + models.polling(60, 60).mean, 75),
            "long_polling": late(30 + models.long_polling(60, 20).mean, 75),
            "datagrams": LOSES,
        },
        {30: "counts-one-way", 120: "counts-round-trips"},
        "one way up, and down again what models.pushed says",
    ),
    "game": (
        "positions that one lost packet holds up over TCP",
        {"datagrams": 200 * 30 / 1000},
        dict.fromkeys(("polling", "long_polling", "sse", "websocket"), WAITS),
        {5: "forgets-the-lost-one", 0.12: "tells-the-share", 6000: "wrong-unit"},
        "for 200 ms everything waits: how many positions are sent in this time, the lost one included?",
    ),
    "sensor": (
        "pings an hour of a socket that is kept open",
        {"polling": 3600 / 20},
        dict.fromkeys(("long_polling", "sse", "websocket", "datagrams"), AWAKE),
        {6: "counts-the-reports", 3: "counts-a-minute", 30: "counts-ten-minutes"},
        "one every 20 s",
    ),
    "ticker": (
        "mean delay with your choice, ms",
        {"sse": models.pushed(40).mean, "long_polling": models.long_polling(40, 10).mean},
        {
            "polling": late(models.polling(40, 40).mean, 30),
            "websocket": ("upgrade-refused", "the proxies answer an upgrade with an error"),
            "datagrams": ("only-http-passes", "the proxies speak HTTP and nothing else"),
        },
        {40: "counts-round-trips"},
        "models.pushed or models.long_polling with this round trip and this rate: its mean",
    ),
    "chat": (
        "bytes of a typing sign of 30 bytes on its way up, with your choice",
        {"websocket": sum(models.frame(30, masked=True).values()), "sse": post_bytes(30)},
        {
            "polling": late(30 + models.polling(1000, 60).mean, 200),
            "long_polling": ("asks-again-for-each", "each of the ten signs a second ends a request, for each member"),
            "datagrams": LOSES,
        },
        {30: "forgets-the-frame", 32: "forgets-the-mask"},
        "models.frame(30, masked=True) or models.publish_request('chat.example', text): the sum of its parts",
    ),
}


def read_choices(answer):
    """What the answer has chosen."""
    return pairs(answer, "choices", tuple(PRODUCTS), TRANSPORTS)


@choices.case("for each of the six products a transport and a number")
def _(answer):
    read_choices(answer)


for product, (asked, accepted, refused, known, hint) in PRODUCTS.items():

    @choices.case(f"{product}: a transport that does what is needed")
    def _(answer, product=product, accepted=accepted, refused=refused):
        transport = read_choices(answer)[product][0]
        if transport not in accepted:
            slug, why = refused[transport]
            shown = [f"{product}: {transport}, {TRANSPORTS[transport]}", why]
            fail(slug, *shown, hint="read once more what this product needs; sometimes more than one transport does")

    @choices.case(f"{product}: {asked}")
    def _(answer, product=product, accepted=accepted, known=known, hint=hint):
        transport, number = read_choices(answer)[product]
        if near(number, accepted[transport]):
            return
        slug = next((slug for wrong, slug in known.items() if near(number, wrong)), f"wrong-number-for-{product}")
        if any(near(number, accepted[transport] * factor) for factor in (0.001, 1000)):
            slug = "wrong-unit"
        fail(slug, f"{product}: {number:g} is not the number for {transport}", hint=hint)
