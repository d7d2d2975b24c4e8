"""Exercise 2.3: `exchange_bytes(host, cursor, wait, events)`, the bytes of a question and its answer."""

import json
from itertools import chain

DATE = "Thu, 01 Jan 1970 00:00:00 GMT"


def right_as_a_text(host, cursor, wait, events):
    request = f"GET /events?after={cursor}&wait={wait} HTTP/1.1\r\nHost: {host}\r\n\r\n"
    body = f"[{','.join(events)}]".encode()
    head = (
        "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nDate: {DATE}\r\n\r\n"
    )
    return len(request), len(head) + len(body)


def right_line_by_line(host, cursor, wait, events):
    def size(*lines):
        return sum(len(line.encode()) + 2 for line in lines) + 2

    body = sum(len(event.encode()) for event in events) + max(len(events) - 1, 0) + 2
    headers = ["Cache-Control: no-store", "Content-Type: application/json; charset=utf-8", f"Content-Length: {body}"]
    request = size(f"GET /events?after={cursor}&wait={wait} HTTP/1.1", f"Host: {host}")
    return [request, size("HTTP/1.1 200 OK", *headers, f"Date: {'x' * 29}") + body]


def right_sums(host, cursor, wait, events):
    body = max(2, 1 + len(events)) + len("".join(events).encode("utf-8"))
    digits, rest = 1, body
    while rest >= 10:
        digits, rest = digits + 1, rest // 10
    lengths = chain((17, 25, 47, 16 + digits + 2, 6 + 29 + 2), (2, body))
    return 45 + len(cursor) + len(str(wait)) + len(host), sum(lengths)


def right_parsed_and_joined(host, cursor, wait, events):
    body = json.dumps([json.loads(event) for event in events], ensure_ascii=False, separators=(",", ":")).encode()
    lines = [b"HTTP/1.1 200 OK", b"Cache-Control: no-store", b"Content-Type: application/json; charset=utf-8"]
    lines += [b"Content-Length: %d" % len(body), b"Date: " + DATE.encode(), b"", body]
    question = [f"GET /events?after={cursor}&wait={wait} HTTP/1.1", f"Host: {host}", "", ""]
    return len("\r\n".join(question)), len(b"\r\n".join(lines))


def counted(
    host, cursor, wait, events, *, end="\r\n", length=None, content_type="; charset=utf-8", body=None, dated=True
):
    """A right answer but for what is changed."""
    if body is None:
        body = "[" + ",".join(events) + "]"
    request = [f"GET /events?after={cursor}&wait={wait} HTTP/1.1", f"Host: {host}", "", ""]
    head = ["HTTP/1.1 200 OK", "Cache-Control: no-store", f"Content-Type: application/json{content_type}"]
    head += [f"Content-Length: {len(body.encode()) if length is None else length}", *[f"Date: {DATE}"] * dated, "", ""]
    return len(end.join(request)), len(end.join(head)) + len(body.encode())


def wrong_forgets_the_line_ends(host, cursor, wait, events):
    return counted(host, cursor, wait, events, end="")


def wrong_one_byte_line_ends(host, cursor, wait, events):
    return counted(host, cursor, wait, events, end="\n")


def wrong_forgets_the_empty_line(host, cursor, wait, events):
    request, response = counted(host, cursor, wait, events)
    return request - 2, response - 2


def wrong_forgets_the_wait(host, cursor, wait, events):
    request = f"GET /events?after={cursor} HTTP/1.1\r\nHost: {host}\r\n\r\n"
    return len(request), counted(host, cursor, wait, events)[1]


def wrong_forgets_the_version(host, cursor, wait, events):
    request = f"GET /events?after={cursor}&wait={wait}\r\nHost: {host}\r\n\r\n"
    return len(request), counted(host, cursor, wait, events)[1]


def wrong_wrong_request(host, cursor, wait, events):
    request = f"GET /events?after={cursor}&wait={wait} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n"
    return len(request), counted(host, cursor, wait, events)[1]


def wrong_fixed_lengths(host, cursor, wait, events):
    return counted(host, "5eed0001-7", 25, events)


def wrong_fixed_lengths__of_the_host(host, cursor, wait, events):
    return counted("127.0.0.1:60001", cursor, wait, events)


def wrong_forgets_the_charset(host, cursor, wait, events):
    return counted(host, cursor, wait, events, content_type="")


def wrong_forgets_the_date(host, cursor, wait, events):
    return counted(host, cursor, wait, events, dated=False)


def wrong_forgets_the_brackets(host, cursor, wait, events):
    return counted(host, cursor, wait, events, body=",".join(events))


def wrong_forgets_the_commas(host, cursor, wait, events):
    return counted(host, cursor, wait, events, body=f"[{''.join(events)}]")


def wrong_a_comma_too_many(host, cursor, wait, events):
    return counted(host, cursor, wait, events, body="[" + ",".join([*events, ""]) + "]" if len(events) > 1 else None)


def wrong_counts_spaces(host, cursor, wait, events):
    return counted(host, cursor, wait, events, body=f"[{', '.join(events)}]")


def wrong_counts_characters(host, cursor, wait, events):
    request, response = counted(host, cursor, wait, events)
    return request, response - sum(len(event.encode()) - len(event) for event in events)


def wrong_length_in_characters(host, cursor, wait, events):
    return counted(host, cursor, wait, events, length=len("[" + ",".join(events) + "]"))


def wrong_counts_escapes(host, cursor, wait, events):
    found = [json.loads(event) for event in events]
    return counted(host, cursor, wait, events, body=json.dumps(found, separators=(",", ":")))


def wrong_wrong_length_digits(host, cursor, wait, events):
    return counted(host, cursor, wait, events, length=10 if events else 2)


def wrong_wrong_length_digits__three(host, cursor, wait, events):
    return counted(host, cursor, wait, events, length=100 if events else None)


def wrong_not_two_sizes(host, cursor, wait, events):
    return sum(counted(host, cursor, wait, events))


def wrong_returns_nothing(host, cursor, wait, events):
    print(*counted(host, cursor, wait, events))
