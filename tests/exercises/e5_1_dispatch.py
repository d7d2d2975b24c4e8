"""Exercise 5.1: `dispatch(text, handlers)`, whatever a client may send."""

import json
from contextlib import suppress


def error(code, detail="no"):
    return {"type": "error", "code": code, "detail": detail}


def right_step_by_step(text, handlers):
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return error("bad_json", "this is no JSON")
    if not isinstance(message, dict):
        return error("bad_message", "an object, please")
    kind = message.get("type")
    if not isinstance(kind, str):
        return error("bad_message", "a type, please")
    if kind not in handlers:
        return error("unknown_type", f"no type {kind[:20]!r}")
    try:
        return handlers[kind](message)
    except ValueError as refusal:
        return error("bad_message", f"{refusal}")


def right_match(text, handlers):
    message = None
    with suppress(ValueError, RecursionError):
        message = (json.loads(text),)
    match message:
        case None:
            return error("bad_json")
        case ({"type": str(kind)} as content,):
            handler = handlers.get(kind)
        case _:
            return error("bad_message")
    if handler is None:
        return error("unknown_type")
    try:
        reply = handler(content)
    except ValueError as refusal:
        reply = error("bad_message", str(refusal))
    return reply


class Wrong(Exception):
    pass


def read(text):
    try:
        message = json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError, ValueError, RecursionError) as wrong:
        raise Wrong("bad_json", f"{type(wrong).__name__}: not JSON") from wrong
    if not isinstance(message, dict) or "type" not in message or not isinstance(message["type"], str):
        raise Wrong("bad_message", "needs a type")
    return message


def right_own_exception(text, handlers):
    try:
        message = read(text)
        if message["type"] not in handlers:
            raise Wrong("unknown_type", ", ".join(handlers))
        try:
            return handlers[message["type"]](message)
        except ValueError as refusal:
            raise Wrong("bad_message", str(refusal)) from refusal
    except Wrong as wrong:
        return error(*wrong.args)


def wrong_not_the_reply(text, handlers):
    message = read(text)
    handlers[message["type"]](message)
    return {"type": "ok"}


def wrong_not_the_reply__arguments(text, handlers):
    message = read(text)
    return {"type": message["type"], "reply": handlers[message["type"]](message)}


def wrong_dies_of_nothing(text, handlers):
    message = json.loads(text)
    try:
        return handlers[message["type"]](message)
    except (KeyError, ValueError):
        return error("unknown_type")


def wrong_dies_of_bytes(text, handlers):
    try:
        message = json.loads(text)
    except json.JSONDecodeError:
        return error("bad_json")
    return right_step_by_step(json.dumps(message), handlers)


def wrong_dies_of_deep_json(text, handlers):
    try:
        json.loads(text)
    except ValueError:
        return error("bad_json")
    return right_step_by_step(text, handlers)


def wrong_dies_of_long_number(text, handlers):
    try:
        json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        return error("bad_json")
    return right_step_by_step(text, handlers)


def wrong_misjudges_nothing(text, handlers):
    try:
        message = read(text)
    except Wrong:
        return error("bad_message")
    return right_step_by_step(json.dumps(message), handlers)


def wrong_answers_nothing(text, handlers):
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return {"error": "bad_json"}
    return handlers[message["type"]](message)


def wrong_dies_of_a_string(text, handlers):
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return error("bad_json")
    if "type" not in message:
        return error("bad_message")
    handler = handlers.get(message["type"])
    return handler(message) if handler else error("unknown_type")


def wrong_dies_of_a_list(text, handlers):
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return error("bad_json")
    kind = message.get("type")
    return handlers[kind](message) if kind in handlers else error("unknown_type")


def wrong_misjudges_a_list(text, handlers):
    try:
        message = json.loads(text)
        assert isinstance(message, dict)
    except (ValueError, RecursionError, AssertionError):
        return error("bad_json")
    return right_step_by_step(text, handlers)


def wrong_misjudges_no_type(text, handlers):
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return error("bad_json")
    if not isinstance(message, dict):
        return error("bad_message")
    if message.get("type", "") not in handlers:
        return error("unknown_type")
    return handlers[message["type"]](message)


def wrong_dies_of_an_odd_type(text, handlers):
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return error("bad_json")
    if not isinstance(message, dict) or "type" not in message:
        return error("bad_message")
    if message["type"] not in handlers:
        return error("unknown_type")
    return handlers[message["type"]](message)


def wrong_dies_of_an_unknown_type(text, handlers):
    try:
        message = read(text)
    except Wrong as wrong:
        return error(*wrong.args)
    try:
        return handlers[message["type"]](message)
    except ValueError as refusal:
        return error("bad_message", str(refusal))


def wrong_dies_of_a_refusal(text, handlers):
    try:
        message = read(text)
    except Wrong as wrong:
        return error(*wrong.args)
    if message["type"] not in handlers:
        return error("unknown_type")
    return handlers[message["type"]](message)


def wrong_misjudges_a_refusal(text, handlers):
    try:
        message = json.loads(text)
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            return error("bad_message")
        if message["type"] not in handlers:
            return error("unknown_type")
        return handlers[message["type"]](message)
    except (ValueError, RecursionError):
        return error("bad_json")


def wrong_no_detail(text, handlers):
    reply = right_step_by_step(text, handlers)
    return {"type": "error", "code": reply["code"]} if reply["type"] == "error" else reply


def wrong_no_detail__exception(text, handlers):
    try:
        json.loads(text)
    except (ValueError, RecursionError) as wrong:
        return error("bad_json", wrong)
    return right_step_by_step(text, handlers)


def wrong_hides_the_reason(text, handlers):
    reply = right_step_by_step(text, handlers)
    return error(reply["code"], "something is wrong with that") if reply["type"] == "error" else reply


def wrong_swallows_a_bug(text, handlers):
    try:
        message = read(text)
        return handlers[message["type"]](message)
    except Wrong as wrong:
        return error(*wrong.args)
    except KeyError:
        return error("unknown_type")
    except ValueError as refusal:
        return error("bad_message", str(refusal))


def wrong_swallows_a_bug__except_exception(text, handlers):
    try:
        message = read(text)
    except Wrong as wrong:
        return error(*wrong.args)
    if message["type"] not in handlers:
        return error("unknown_type")
    try:
        return handlers[message["type"]](message)
    except Exception as refusal:
        return error("bad_message", str(refusal))


def wrong_swallows_a_bug__too_deep(text, handlers):
    try:
        message = read(text)
        if message["type"] not in handlers:
            return error("unknown_type")
        return handlers[message["type"]](message)
    except Wrong as wrong:
        return error(*wrong.args)
    except ValueError as refusal:
        return error("bad_message", str(refusal))
    except RecursionError:
        return error("bad_json")


def wrong_returns_nothing(text, handlers):
    handlers[json.loads(text)["type"]](json.loads(text))
