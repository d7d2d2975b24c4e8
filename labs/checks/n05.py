"""The checks of notebook 05: dispatch, and who is where; broadcast, outbox and server are in modules of their own."""

from collections.abc import Collection, Mapping

from labs.checks import Exercise, fail, n05_broadcast, n05_chat
from labs.checks.attempt import said, where
from labs.checks.n05_broadcast import parts, short

dispatch = Exercise("5.1", "dispatch", "text, handlers")
registry = Exercise("5.2", "Registry", "")
EXERCISES = (
    {exercise.number: exercise for exercise in (dispatch, registry)} | n05_broadcast.EXERCISES | n05_chat.EXERCISES
)


# 5.1 dispatch(text, handlers) -> dict


def refuse(message):
    raise ValueError("join the room first")


HANDLERS = {
    "join": lambda message: {"type": "joined", "room": message["room"]},
    "message": lambda message: {"type": "message", "text": message["text"]},
    "leave": refuse,
}
BAD = {  # a sentence, the code, a hint, and what is sent, with its name in diagnoses
    "what is not JSON is bad_json": (
        "bad_json",
        "json.loads raises ValueError for what is no JSON",
        {"": "nothing", "hello": "words", '{"type":"join"': "half-an-object", b"\xff\xff": "bytes"},
    ),
    "… also brackets 30,000 deep, and a number of 5,000 digits": (
        "bad_json",
        "RecursionError, and a ValueError that is no JSONDecodeError",
        {"[" * 30_000: "deep-json", '{"type":' + "1" * 5_000 + "}": "long-number"},
    ),
    "JSON that is not an object with a type is bad_message": (
        "bad_message",
        "look whether it is a dict, and then whether its type is a str, before you use them",
        {"[]": "a-list", '"type"': "a-string", "7": "a-number", "null": "null", "{}": "no-type",
         '{"type":["join"]}': "an-odd-type", '{"type":7}': "an-odd-type", '{"type":null}': "an-odd-type"},
    ),
    "a type without a handler is unknown_type": (
        "unknown_type",
        "look whether `handlers` has one for it",
        dict.fromkeys(['{"type":"shout"}', '{"type":""}', '{"type":"__class__"}'], "an-unknown-type"),
    ),
    "a handler's ValueError is bad_message": (
        "bad_message",
        "the JSON was good; the handler says what was not",
        {'{"type":"leave","room":"blue"}': "a-refusal"},
    ),
}  # fmt: skip


def dispatched(answer, text, slug="raises", handlers=HANDLERS):
    """The reply; an exception is the diagnosis `slug`."""
    try:
        return answer(text, handlers)
    except NotImplementedError:
        raise
    except Exception as error:
        shown = [f"a client sent {short(text)}", *where(error), f"dispatch raised {said(error)}"]
        fail(slug, *shown, hint="whatever a client sends is answered")


@dispatch.case("the handler of a message's type gets it, and its reply comes back")
def _(answer):
    for text, right in (
        ('{"type":"join","room":"blue"}', {"type": "joined", "room": "blue"}),
        ('{"room":"blue","text":"{}","type":"message"}', {"type": "message", "text": "{}"}),
    ):
        reply = dispatched(answer, text)
        if reply != right:
            shown = [f"a client sent {text}", f"right is {right}", f"yours is {short(reply)}"]
            fail("not-the-reply", *shown, hint='return handlers[message["type"]](message)')


for sentence, (code, hint, texts) in BAD.items():

    @dispatch.case(sentence)
    def _(answer, code=code, hint=hint, texts=texts):
        for text, name in texts.items():
            reply = dispatched(answer, text, f"dies-of-{name}")
            shown = [
                f"a client sent {short(text)}",
                f"right is an error with the code {code}",
                f"yours is {short(reply)}",
            ]
            if not isinstance(reply, dict) or reply.get("type") != "error":
                fail(f"answers-{name}", *shown, hint=hint)
            if reply.get("code") != code:
                fail(f"misjudges-{name}", *shown, hint=hint)


@dispatch.case("an error has a detail for people: the text of a ValueError, or a sentence of yours")
def _(answer):
    for text, right in (("hello", ""), ("{}", ""), ('{"type":"x"}', ""), ('{"type":"leave"}', "join the room first")):
        detail = dispatched(answer, text).get("detail")
        shown = [f"a client sent {text}", f"its error has the detail {short(detail)}"]
        if not isinstance(detail, str) or not detail:
            fail("no-detail", *shown, hint="text, and not empty: str(error) is an exception's text")
        if right not in detail:
            fail("hides-the-reason", *shown, f"the handler had said {right!r}", hint="str(error) is its text")


@dispatch.case("a bug in a handler passes")
def _(answer):
    for bug in (KeyError("members"), TypeError("not a member"), AttributeError("nobody"), RecursionError("too deep")):

        def handler(message, bug=bug):
            raise bug

        try:
            reply = answer('{"type":"join","room":"blue"}', {"join": handler})
        except Exception:
            continue
        shown = [f"the handler raised {said(bug)}", f"dispatch returned {short(reply)}"]
        fail("swallows-a-bug", *shown, hint="from the handler's call, catch ValueError and nothing else")


# 5.2 Registry()


class Somebody:
    """A member, with a name that need not be its own alone."""

    def __init__(self, label):
        self.label, self.name = label, label.rstrip("2")


SCRIPTS = {  # a sentence, and steps: a call, the right result, the diagnosis otherwise
    "whoever joins is in the room, and the others are to be told": [
        ("join blue ada", "none", "tells-the-newcomer"), ("join blue bob", "ada", "tells-others"),
        ("join blue eve", "ada bob", "tells-others"), ("members blue", "ada bob eve", "wrong-members"),
        ("members red", "none", "wrong-members"), ("rooms ada", "blue", "wrong-rooms"),
    ],
    "who joins twice is there once, and nobody is to be told": [
        ("join blue ada", "none", "tells-the-newcomer"), ("join blue bob", "ada", "tells-others"),
        ("join blue ada", "none", "tells-again"), ("members blue", "ada bob", "is-there-twice"),
        ("leave blue ada", "bob", "tells-the-leaver"), ("members blue", "bob", "is-there-twice"),
        ("rooms ada", "none", "is-there-twice"),
    ],
    "who leaves is gone from this room alone, and those who remain are to be told": [
        ("join blue ada", "none", "tells-the-newcomer"), ("join red ada", "none", "tells-other-rooms"),
        ("join blue bob", "ada", "tells-other-rooms"), ("leave blue ada", "bob", "tells-the-leaver"),
        ("members blue", "bob", "wrong-members"), ("members red", "ada", "leaves-other-rooms"),
        ("rooms ada", "red", "wrong-rooms"), ("leave blue bob", "none", "tells-the-leaver"),
    ],
    "leaving a room that one is not in does nothing": [
        ("leave blue ada", "none", "tells-for-nothing"), ("join blue bob", "none", "tells-the-newcomer"),
        ("leave blue ada", "none", "tells-for-nothing"), ("members blue", "bob", "wrong-members"),
    ],
    "two members of the same name are two": [
        ("join blue ada", "none", "tells-the-newcomer"), ("join blue ada2", "ada", "takes-names-for-members"),
        ("members blue", "ada ada2", "takes-names-for-members"), ("leave blue ada", "ada2", "takes-names-for-members"),
        ("members blue", "ada2", "takes-names-for-members"),
    ],
    "leave_all leaves every room, and says who remains in each": [
        ("leave_all ada", "none", "dies-of-a-stranger"), ("join blue ada", "none", "tells-the-newcomer"),
        ("join red ada", "none", "tells-other-rooms"), ("join red bob", "ada", "tells-others"),
        ("join gold bob", "none", "tells-other-rooms"), ("leave_all ada", "blue: none; red: bob", "wrong-farewell"),
        ("members red", "bob", "stays-somewhere"), ("members blue", "none", "stays-somewhere"),
        ("rooms ada", "none", "stays-somewhere"), ("rooms bob", "gold red", "wrong-rooms"),
        ("leave_all ada", "none", "wrong-farewell"), ("leave_all eve", "none", "wrong-farewell"),
    ],
}  # fmt: skip
SAID = {
    "tells-the-newcomer": "`join` returns the others: those who were there before",
    "tells-others": "all others who are in this room",
    "tells-again": "is the member there already? Then nothing has changed",
    "tells-the-leaver": "`leave` returns those who remain",
    "tells-for-nothing": "is the member there at all?",
    "takes-names-for-members": "keep the member itself; its name is not its own alone",
    "wrong-farewell": "a dict: for each room that the member was in, those who remain",
    "dies-of-a-stranger": "a connection may end before it has joined anything",
    "leaves-other-rooms": "only this room",
}


def told(result):
    """What a method returned, in the order of the alphabet."""
    if isinstance(result, Mapping):
        return "; ".join(f"{room}: {told(result[room])}" for room in sorted(result, key=str)) or "none"
    if not isinstance(result, Collection) or isinstance(result, str):
        return f"an object of type {type(result).__name__}"
    return " ".join(sorted(getattr(one, "label", one if isinstance(one, str) else "?") for one in result)) or "none"


class Desk:
    """Calls an answer's methods, and notes what they return."""

    def __init__(self, answer):
        self.registry, self.lines, self.people = answer(), [], {}

    def call(self, text):
        """Call a method: its name, and what it is given, in one line."""
        method, *arguments = text.split()
        if method != "members":
            arguments[-1] = self.people.setdefault(arguments[-1], Somebody(arguments[-1]))
        return getattr(self.registry, method)(*arguments)

    def expect(self, text, right, slug):
        """… and it must return this."""
        try:
            got = told(self.call(text))
        except (KeyError, ValueError) as error:
            shown = [*self.lines, f"{text}: right is {right}, yours raised {said(error)}", *where(error)]
            fail(slug, *shown, hint=SAID.get(slug, "nothing is wrong with that call"))
        self.lines.append(f"{text:15} → {got}")
        if got != right:
            fail(slug, *self.lines, f"right is {right}", hint=SAID.get(slug, "who is where now?"))


@registry.case("a new registry is empty")
def _(answer):
    answer().join("blue", Somebody("ada"))
    if told(answer().members("blue")) != "none":
        why = "what stands in the class body is shared by all its objects; set it in __init__, on self"
        fail("shares-state", "one registry was given a member, and then another one has it, too", hint=why)


for sentence, steps in SCRIPTS.items():

    @registry.case(sentence)
    def _(answer, steps=steps):
        desk = Desk(answer)
        for text, right, slug in steps:
            desk.expect(text, right, slug)


@registry.case("what it returns is a copy, which stays as it is")
def _(answer):
    for asked, meanwhile in (
        ("members blue", "join blue zoe"), ("members blue", "leave blue ada"), ("rooms ada", "join red ada"),
        ("join blue eve", "leave blue ada"), ("leave blue bob", "leave blue ada"),
    ):  # fmt: skip
        desk = Desk(answer)
        for text in ("join blue ada", "join blue bob"):
            desk.call(text)
        result = desk.call(asked)
        before = told(result)
        desk.call(meanwhile)
        if told(result) != before:
            shown = [f"{asked} → {before}", f"… and after {meanwhile} the same object holds {told(result)}"]
            fail("not-a-copy", *shown, hint="set(…) makes a copy; a set that changes while one loops over it raises")


@registry.case("a room's name is 1 to 64 of a-z, 0-9 and -, and everything else is a ValueError")
def _(answer):
    for name in ("a", "0", "-", "a-0" * 21 + "z"):
        try:
            answer().join(name, Somebody("ada"))
        except ValueError:
            fail("refuses-good-names", f"join({name!r}, ada) raised ValueError", hint="this name is good")
    for slug, name in (
        ("takes-an-empty-name", ""), ("takes-capitals", "Blue"), ("takes-long-names", "a" * 65), ("takes-spaces", "a b"),
        ("takes-patterns", "*"), ("takes-line-breaks", "blue\n"), ("takes-letters-of-the-world", "blü"),
        ("takes-letters-of-the-world", "٣"), ("dies-of-a-number", 7), ("dies-of-none", None), ("dies-of-a-list", ["blue"]),
    ):  # fmt: skip
        for method in ("join", "leave", "members"):
            arguments = [name] if method == "members" else [name, Somebody("ada")]
            call = f"{method}({short(name)}{', ada' * (method != 'members')})"
            try:
                getattr(answer(), method)(*arguments)
            except ValueError:
                continue
            except (TypeError, AttributeError) as error:
                hint = "is it text at all? isinstance(room, str) tells"
                fail(slug, *where(error), f"{call} raised {said(error)}, right is ValueError", hint=hint)
            slug = slug if method == "join" else f"{method}-takes-any-name"
            hint = 're.fullmatch("[a-z0-9-]{1,64}", room), and in every method that takes a room'
            fail(slug, f"{call} went through, right is ValueError", hint=hint)


@registry.case("what is over leaves nothing behind")
def _(answer):
    desk = Desk(answer)
    for text in ("join blue ada", "join gold bob", "leave gold bob", "members red", "rooms eve"):
        desk.call(text)
    before = size(desk.registry)
    for slug, texts in (
        ("remembers-empty-rooms", ("join room-{0} bob", "leave room-{0} bob")),
        ("remembers-members", ("join blue m{0}", "leave blue m{0}")),
        ("remembers-after-leave-all", ("join blue m{0}", "join room-{0} m{0}", "leave_all m{0}")),
        ("remembers-what-was-asked", ("members room-{0}", "rooms m{0}", "leave room-{0} m{0}", "leave_all m{0}")),
    ):
        for number in range(50):
            for text in texts:
                desk.call(text.format(number))
            desk.people.pop(f"m{number}", None)
        if (more := size(desk.registry) - before) >= 50:
            shown = [f"fifty times: {', '.join(texts).replace('{0}', '1')}, then 2, 3 …", f"{more} entries are left"]
            why = "an empty set has had its day: delete its key. And a defaultdict keeps what it is asked for"
            fail(slug, *shown, hint=why)


def size(thing):
    """How many entries its containers have in all."""
    return sum(len(one) for one in parts(thing, (Somebody, str, bytes)) if isinstance(one, Collection))
