"""Exercise 4.3: `encode_frame(opcode, payload, fin, key)`, which writes one frame."""

import struct

from labs import frames
from labs.frames import mask


def right_to_bytes(opcode, payload, fin=True, key=None):
    if opcode in (8, 9, 10) and (not fin or len(payload) >= 126):
        raise ValueError("no such control frame")
    frame = bytearray([opcode + (128 if fin else 0)])
    if len(payload) <= 125:
        frame.append(len(payload))
    elif len(payload) <= 0xFFFF:
        frame.append(126)
        frame += len(payload).to_bytes(2, "big")
    else:
        frame.append(127)
        frame += len(payload).to_bytes(8, "big")
    if key is not None:
        frame[1] |= 128
        frame += key
        payload = mask(payload, key)
    return bytes(frame + payload)


def right_the_course(opcode, payload, fin=True, key=None):
    if opcode > 7 and (len(payload) > 125 or not fin):
        raise ValueError(opcode)
    return frames.encode(opcode, payload, fin=fin, key=key)


def right_table(opcode, payload, fin=True, key=None):
    size = len(payload)
    if opcode & 8:
        assert_short(size, fin)
    form, letter = next((form, letter) for most, form, letter in FORMS if size <= most)
    length = struct.pack(f"!{letter}", size) if letter else b""
    first, second = fin * 0x80 + opcode, (form or size) + 0x80 * bool(key)
    return bytes([first, second]) + length + (key + mask(payload, key) if key else payload)


FORMS = (125, None, ""), (65535, 126, "H"), (2**63 - 1, 127, "Q")


def assert_short(size, fin):
    if size > 125 or not fin:
        raise ValueError("a control frame is short and in one piece")


def frame(opcode, payload, fin=True, key=None, *, most=(125, 65535), order=">", first=None, masked=128, refuse=True):
    """A right encoder with something to turn at every place where wrong ones go wrong."""
    size, letters = len(payload), order + "BB"
    if refuse and opcode >= 8 and (size > 125 or not fin):
        raise ValueError
    first = fin << 7 | opcode if first is None else first
    bit = masked if key else 0
    if size <= most[0]:
        head = struct.pack(letters, first, bit | size)
    elif size <= most[1]:
        head = struct.pack(f"{letters}H", first, bit | 126, size)
    else:
        head = struct.pack(f"{letters}Q", first, bit | 127, size)
    return head + (key + mask(payload, key) if key else payload)


def wrong_little_endian(opcode, payload, fin=True, key=None):
    return frame(opcode, payload, fin, key, order="<")


def wrong_always_final(opcode, payload, fin=True, key=None):
    return frame(opcode, payload, fin, key, first=0x80 | opcode)


def wrong_never_final(opcode, payload, fin=True, key=None):
    return frame(opcode, payload, fin, key, first=opcode)


def wrong_wrong_first_byte(opcode, payload, fin=True, key=None):
    return frame(opcode, payload, fin, key, first=(0x80 | opcode if fin else opcode << 4))


def wrong_wrong_frame(opcode, payload, fin=True, key=None):
    return frame(opcode, payload, fin, key, first=opcode << 4 | fin)


def wrong_wrong_frame__forgets_the_payload(opcode, payload, fin=True, key=None):
    return frame(opcode, payload, fin, key)[: -len(payload) or None]


def wrong_long_form_at_125(opcode, payload, fin=True, key=None):
    return frame(opcode, payload, fin, key, most=(124, 65535))


def wrong_short_form_at_126(opcode, payload, fin=True, key=None):
    return frame(opcode, payload, fin, key, most=(126, 65535))


def wrong_short_form_at_126__as_far_as_it_goes(opcode, payload, fin=True, key=None):
    return frame(opcode, payload, fin, key, most=(127, 65535))


def wrong_wrong_long_form(opcode, payload, fin=True, key=None):
    size = len(payload)
    length = bytes([size]) if size < 126 else bytes([126, 0, size & 255])
    return bytes([fin << 7 | opcode]) + length + payload


def wrong_longest_form_at_65535(opcode, payload, fin=True, key=None):
    return frame(opcode, payload, fin, key, most=(125, 65534))


def wrong_longest_form_at_65535__forgets_the_middle(opcode, payload, fin=True, key=None):
    return frame(opcode, payload, fin, key, most=(125, 32767))


def wrong_wrong_longest_form(opcode, payload, fin=True, key=None):
    return frame(opcode, payload, fin, key, most=(125, 65536))


def wrong_wrong_longest_form__four_bytes(opcode, payload, fin=True, key=None):
    wire = frame(opcode, payload, fin, key)
    return wire if len(payload) < 65536 else wire[:2] + wire[6:]


def wrong_no_mask_bit(opcode, payload, fin=True, key=None):
    return frame(opcode, payload, fin, key, masked=0)


def wrong_no_mask_bit__in_the_long_form(opcode, payload, fin=True, key=None):
    return frame(opcode, payload, fin, key, masked=128 if len(payload) < 126 else 0)


def wrong_mask_bit_without_a_key(opcode, payload, fin=True, key=None):
    wire = frame(opcode, payload, fin, key)
    return wire[:1] + bytes([wire[1] | 128]) + wire[2:]


def wrong_no_key(opcode, payload, fin=True, key=None):
    wire = frame(opcode, payload, fin, key)
    return wire.replace(key, b"", 1) if key else wire


def wrong_not_masked(opcode, payload, fin=True, key=None):
    wire = frame(opcode, payload, fin, key)
    return wire[: len(wire) - len(payload)] + payload


def wrong_key_before_the_length(opcode, payload, fin=True, key=None):
    wire = frame(opcode, payload, fin, key)
    return wire[:2] + key + wire.replace(key, b"", 1)[2:] if key else wire


def wrong_wrong_mask(opcode, payload, fin=True, key=None):
    wire = frame(opcode, payload, fin, key)
    return wire[: len(wire) - len(payload)] + mask(payload, key[::-1]) if key else wire


def wrong_refuses_too_much(opcode, payload, fin=True, key=None):
    if opcode >= 8 and len(payload) >= 125:
        raise ValueError
    return frame(opcode, payload, fin, key)


def wrong_long_control_frame(opcode, payload, fin=True, key=None):
    return frame(opcode, payload, fin, key, refuse=False)


def wrong_long_control_frame__cuts_it(opcode, payload, fin=True, key=None):
    return frame(opcode, payload[:125] if opcode >= 8 else payload, fin, key)


def wrong_fragmented_control_frame(opcode, payload, fin=True, key=None):
    if opcode >= 8 and len(payload) > 125:
        raise ValueError
    return frame(opcode, payload, fin, key, refuse=False)


def wrong_not_bytes(opcode, payload, fin=True, key=None):
    return bytearray(frame(opcode, payload, fin, key))


def wrong_needs_a_piece(opcode, payload, fin=True, key=None):
    return frame(opcode, payload, fin) if not key else stub(payload, key)


def stub(data, key):
    raise NotImplementedError


stub.__code__ = stub.__code__.replace(co_name="mask", co_qualname="mask")
