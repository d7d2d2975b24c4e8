"""Exercise 4.1: `accept_key(key)`, which answers a client's key."""

import base64
import binascii
import codecs
import hashlib

from labs import frames

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

right_the_course = frames.accept_key


def right_step_by_step(key):
    sha = hashlib.sha1()
    sha.update(key.encode("ascii"))
    sha.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
    return str(base64.b64encode(sha.digest()), "ascii")


def right_binascii(key):
    digest = hashlib.new("sha1", f"{key}{GUID}".encode()).digest()
    return binascii.b2a_base64(digest, newline=False).decode("latin-1")


def right_codecs(key):
    digest = bytes.fromhex(hashlib.sha1(bytes(key + GUID, "utf-8")).hexdigest())
    return codecs.encode(digest, "base64").decode().strip()


def sha1(text):
    return hashlib.sha1(text.encode())


def wrong_hex_digest(key):
    return base64.b64encode(sha1(key + GUID).hexdigest().encode()).decode()


def wrong_not_base64(key):
    return sha1(key + GUID).hexdigest()


def wrong_guid_in_lower_case(key):
    return base64.b64encode(sha1(key + GUID.lower()).digest()).decode()


def wrong_without_the_guid(key):
    return base64.b64encode(sha1(key).digest()).decode()


def wrong_guid_first(key):
    return base64.b64encode(sha1(GUID + key).digest()).decode()


def wrong_decodes_the_key(key):
    return base64.b64encode(hashlib.sha1(base64.b64decode(key) + GUID.encode()).digest()).decode()


def wrong_another_hash(key):
    return base64.b64encode(hashlib.sha256((key + GUID).encode()).digest()).decode()


def wrong_url_safe(key):
    return base64.urlsafe_b64encode(sha1(key + GUID).digest()).decode()


def wrong_ends_with_a_line_break(key):
    return base64.encodebytes(sha1(key + GUID).digest()).decode()


def wrong_not_str(key):
    return base64.b64encode(sha1(key + GUID).digest())


def wrong_wrong_answer(key):
    return base64.b64encode((key + GUID).encode()).decode()


def wrong_wrong_answer__spelled_wrong(key):
    return base64.b64encode(sha1(key + GUID[:-1]).digest()).decode()


def wrong_knows_one_key(key):
    return "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def wrong_raises_TypeError(key):
    return base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()


def wrong_returns_nothing(key):
    base64.b64encode(sha1(key + GUID).digest()).decode()
