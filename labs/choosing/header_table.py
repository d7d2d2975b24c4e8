"""How many bytes header fields take in HTTP/2, by the rules of RFC 7541, without a library that encodes them.

Both ends of a connection keep the same table of fields that were sent. A field that is in it costs one byte: its number there.
Only Huffman's code and the fields that are in every table from the start come from the `hpack` library: they are lists.
"""

from hpack.huffman_constants import REQUEST_CODES_LENGTH as BITS  # by character, RFC 7541 Appendix B
from hpack.table import HeaderTable

# what is in the table from the start, Appendix A
STATIC = [(name.decode(), value.decode()) for name, value in HeaderTable.STATIC_TABLE]
TABLE_BYTES = 4096  # what both ends keep unless they agree on more, RFC 9113 §6.5.2

Fields = list[tuple[str, str]]


class Table:
    """One end's table of the fields that it has sent on a connection, newest first, and what fields cost with it."""

    def __init__(self, limit: int = TABLE_BYTES):
        self.sent, self.limit = [], limit

    def block(self, to_send: Fields) -> int:
        """The bytes of a header block with these fields (RFC 7541 §6), which are in the table from now on."""
        return sum(map(self._field, to_send))

    def _field(self, field: tuple[str, str]) -> int:
        known = STATIC + self.sent
        if field in known:
            return integer(known.index(field) + 1, 7)  # only its number, §6.1
        names = [name for name, _ in known]
        begin = integer(names.index(field[0]) + 1, 6) if field[0] in names else 1 + string(field[0])
        self.sent.insert(0, field)  # a literal that both ends remember, §6.2.1
        while sum(len(name) + len(value) + 32 for name, value in self.sent) > self.limit:  # §4.1, §4.4
            self.sent.pop()
        return begin + string(field[1])


def integer(value: int, prefix: int) -> int:
    """The bytes of a number that begins in the last `prefix` bits of a byte (RFC 7541 §5.1)."""
    limit = 2**prefix - 1
    return 1 if value < limit else 2 + max(0, (value - limit).bit_length() - 1) // 7


def string(text: str) -> int:
    """The bytes of a text in Huffman's code, with its length before it (RFC 7541 §5.2)."""
    size = -(-sum(BITS[byte] for byte in text.encode()) // 8)
    return integer(size, 7) + size
