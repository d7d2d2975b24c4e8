"""Exercise 0.1: `split(message)`, the sizes of start line, headers and body."""

import io
import re


def right_partition(message):
    head, _, body = message.partition(b"\r\n\r\n")
    start_line = head.partition(b"\r\n")[0]
    first, all_of_it = len(start_line) + 2, len(head) + 4
    return first, all_of_it - first, len(body)


def right_find(message):
    first = message.find(b"\r\n") + 2
    second = message.find(b"\r\n\r\n") + 4
    return len(message[:first]), len(message[first:second]), len(message[second:])


def right_lines(message):
    stream = io.BytesIO(message)
    start, headers = len(stream.readline()), 0
    while True:
        line = stream.readline()
        headers += len(line)
        if line == b"\r\n":
            return [start, headers, len(stream.read())]


def right_pattern(message):
    return tuple(len(part) for part in re.fullmatch(rb"(.*?\r\n)(.*?\r\n\r\n)(.*)", message, re.DOTALL).groups())


def right_text_of_single_bytes(message):
    text = message.decode("latin-1")
    head, body = text.split("\r\n\r\n", maxsplit=1)
    start, _, headers = head.partition("\r\n")
    return len(start) + 2, len(headers) + 4, len(body)


def wrong_does_not_add_up(message):
    head, _, body = message.partition(b"\r\n\r\n")
    start, *headers = head.split(b"\r\n")
    return len(start), sum(len(header) for header in headers), len(body)


def wrong_does_not_add_up__empty_line(message):
    head, _, body = message.partition(b"\r\n\r\n")
    start, *headers = head.split(b"\r\n")
    return len(start) + 2, sum(len(header) + 2 for header in headers), len(body)


def wrong_empty_line_to_the_body(message):
    start, rest = message.split(b"\r\n", 1)
    headers = rest[: rest.index(b"\r\n\r\n") + 2]
    return len(start) + 2, len(headers), len(rest) - len(headers)


def wrong_line_ending_to_the_headers(message):
    start, body = message.index(b"\r\n"), message.index(b"\r\n\r\n") + 4
    return start, body - start, len(message) - body


def wrong_splits_inside_the_body(message):
    head, _, body = message.rpartition(b"\r\n\r\n")
    start = head.index(b"\r\n") + 2
    return start, len(head) + 4 - start, len(body)


def wrong_raises_ValueError(message):
    head, body = message.split(b"\r\n\r\n")
    start = head.index(b"\r\n") + 2
    return start, len(head) + 4 - start, len(body)


def wrong_raises_TypeError(message):
    head, _, body = message.partition("\r\n\r\n")
    start = head.index("\r\n") + 2
    return start, len(head) + 4 - start, len(body)


def wrong_raises_KeyError(message):
    head = message.partition(b"\r\n\r\n")[0]
    start, *lines = head.split(b"\r\n")
    headers = dict(line.split(b": ") for line in lines)
    return len(start) + 2, len(head) + 4 - len(start) - 2, int(headers[b"Content-Length"])


def wrong_counts_characters(message):
    head, _, body = message.decode().partition("\r\n\r\n")
    start = head.index("\r\n") + 2
    return start, len(head) + 4 - start, len(body)


def wrong_returns_the_parts(message):
    head, _, body = message.partition(b"\r\n\r\n")
    start, _, headers = head.partition(b"\r\n")
    return start + b"\r\n", headers + b"\r\n\r\n", body


def wrong_not_three_sizes(message):
    head, _, body = message.partition(b"\r\n\r\n")
    start = head.index(b"\r\n") + 2
    return {"start line": start, "headers": len(head) + 4 - start, "body": len(body)}


def wrong_returns_nothing(message):
    head, _, body = message.partition(b"\r\n\r\n")
    start = head.index(b"\r\n") + 2
    print(start, len(head) + 4 - start, len(body))
