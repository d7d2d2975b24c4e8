"""Exercise 4.2: `mask(data, key)`, which puts a mask on and takes it off."""

from itertools import cycle
from operator import xor

from labs import frames

right_the_course = frames.mask


def right_cycle(data, key):
    return bytes(map(xor, data, cycle(key)))


def right_bytearray(data, key):
    masked = bytearray(data)
    for place in range(len(masked)):
        masked[place] ^= key[place & 3]
    return bytes(masked)


def right_slices(data, key):
    masked = bytearray(len(data))
    for first in range(4):
        masked[first::4] = data[first::4].translate(bytes(byte ^ key[first] for byte in range(256)))
    return bytes(masked)


def right_join(data, key):
    return b"".join([(byte ^ key[place % 4]).to_bytes(1, "big") for place, byte in enumerate(data)])


def wrong_uses_one_byte(data, key):
    return bytes(byte ^ key[0] for byte in data)


def wrong_stops_with_the_key(data, key):
    return bytes(byte ^ other for byte, other in zip(data, key, strict=False))


def wrong_whole_groups_only(data, key):
    masked = b""
    for place in range(0, len(data) - 3, 4):
        masked += bytes(byte ^ other for byte, other in zip(data[place : place + 4], key, strict=True))
    return masked


def wrong_pads(data, key):
    data += bytes(-len(data) % 4)
    return bytes(byte ^ key[place % 4] for place, byte in enumerate(data))


def wrong_loses_zeros(data, key):
    repeated = (key * len(data))[: len(data)]
    number = int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def wrong_key_backwards(data, key):
    number = int.from_bytes(key, "big")
    return bytes(byte ^ (number >> 8 * (place % 4) & 255) for place, byte in enumerate(data))


def wrong_through_text(data, key):
    return "".join(chr(byte ^ key[place % 4]) for place, byte in enumerate(data)).encode()


def wrong_not_bytes(data, key):
    return bytearray(byte ^ key[place % 4] for place, byte in enumerate(data))


def wrong_not_bytes__list(data, key):
    return [byte ^ key[place % 4] for place, byte in enumerate(data)]


def wrong_wrong_bytes(data, key):
    return bytes(byte ^ key[(place + 1) % 4] for place, byte in enumerate(data))


def wrong_wrong_bytes__or(data, key):
    return bytes(byte | key[place % 4] for place, byte in enumerate(data))


def wrong_wrong_length(data, key):
    return right_cycle(data, key) or key


def wrong_raises_IndexError(data, key):
    return bytes(byte ^ key[place] for place, byte in enumerate(data))
