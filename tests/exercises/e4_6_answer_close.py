"""Exercise 4.6: `answer_close(payload)`, which answers a close frame."""

import struct

from labs import frames
from labs.frames import Violation

TRAVELS = {*range(1000, 1015), *range(3000, 5000)} - {1004, 1005, 1006}


def right_the_course(payload):
    try:
        code, reason = frames.parse_close(payload)
    except Violation as violation:
        return frames.encode_close(violation.code, violation.reason)
    return b"" if code == 1005 else frames.encode_close(code, reason)


def right_echo(payload):
    """Sends back what came, as far as it is fine."""
    if len(payload) == 1 or (payload and int.from_bytes(payload[:2], "big") not in TRAVELS):
        return b"\x03\xea"
    try:
        str(payload[2:], "utf-8")
    except UnicodeDecodeError:
        return b"\x03\xef"
    return payload


def right_struct(payload):
    try:
        (code,) = struct.unpack_from("!H", payload)
        payload[2:].decode()
    except struct.error:
        return struct.pack("!H", 1002) if payload else payload
    except UnicodeDecodeError:
        code = 1007 if allowed(code) else 1002
    return struct.pack("!H", code if allowed(code) else 1002)


def allowed(code):
    match code:
        case 1004 | 1005 | 1006:
            return False
        case _:
            return 1000 <= code < 1015 or code // 1000 in (3, 4)


def answer(payload, *, travels=TRAVELS, empty=b"", half=1002, order="big", errors="strict", bad=1007):
    """A right answer with something to turn at every place where wrong ones go wrong."""
    if not payload:
        return empty
    code = int.from_bytes(payload[:2], order)
    if len(payload) == 1:
        code = half
    elif code not in travels:
        code = 1002
    else:
        try:
            payload[2:].decode(errors=errors)
        except UnicodeDecodeError:
            code = bad
    return code.to_bytes(2, order)


def wrong_wrong_code(payload):
    return b"\x03\xe8"


def wrong_wrong_code__as_text(payload):
    return str(int.from_bytes(payload[:2], "big")).encode()


def wrong_wrong_code__without_thousands(payload):
    return answer(payload)[1:]


def wrong_little_endian(payload):
    return answer(payload)[:2][::-1]


def wrong_adds_a_code(payload):
    return answer(payload, empty=b"\x03\xe8")


def wrong_adds_a_code__1005(payload):
    return answer(payload, empty=b"\x03\xed")


def wrong_refuses_a_code(payload):
    return answer(payload, travels=range(1000, 1004))


def wrong_refuses_a_code__upper_end(payload):
    return answer(payload, travels=TRAVELS - {4999})


def wrong_trusts_half_a_code(payload):
    return payload[:2] if len(payload) < 2 else answer(payload)


def wrong_trusts_half_a_code__reads_it(payload):
    return answer(payload, half=int.from_bytes(payload, "big"))


def wrong_trusts_half_a_code__raises(payload):
    (_,) = struct.unpack("!H", payload[:2]) if payload else (None,)
    return answer(payload)


def wrong_trusts_the_code(payload):
    return answer(payload, travels=range(65536))


def wrong_trusts_the_code__whole_range(payload):
    return answer(payload, travels=range(1000, 5000))


def wrong_trusts_the_code__1015(payload):
    return answer(payload, travels=TRAVELS | {1015})


def wrong_trusts_the_reason(payload):
    return answer(payload, errors="replace")


def wrong_trusts_the_reason__raises(payload):
    payload[2:].decode()
    return answer(payload)


def wrong_trusts_the_reason__1002(payload):
    return answer(payload, bad=1002)


def wrong_breaks_the_rules(payload):
    return answer(payload) + payload[2:] + b" (and so do I)" if payload[2:] else answer(payload)


def wrong_not_bytes(payload):
    return int.from_bytes(answer(payload), "big")


def wrong_not_bytes__pair(payload):
    return answer(payload), b""
