"""Fan-out: what a message to everybody in a room costs, and what waits for one who does not read."""


def cpu_per_delivery(message_us: float, delivery_us: float, members: int, joined: int = 1) -> float:
    """The server's CPU time for each delivered message, in microseconds.

    A message costs `message_us` once, to read, decode and encode it, and that is shared by `members`; each delivery costs
    `delivery_us`, nearly all of it a system call, and that is shared by the messages that one write joins.
    """
    return message_us / members + delivery_us / joined


def last_member_ms(cpu_us: float, members: int, in_flight: int = 1) -> float:
    """When the last member has a message, in milliseconds: one thread serves them one after another.

    `cpu_us` is the CPU time of one delivery; with more in flight every message waits for those before it.
    """
    return cpu_us * members * in_flight / 1000


def held_bytes(per_second: float, size: int, seconds: float, kernel: int = 0, limit: int | None = None) -> float:
    """The bytes that wait in the server for a member who stopped reading `seconds` ago: rate times size times time.

    A frame's head adds to each message; the first `kernel` bytes wait in the system's buffers instead; a `limit` ends it.
    """
    frame = size + (2 if size < 126 else 4)
    waiting = max(0.0, per_second * frame * seconds - kernel)
    return waiting if limit is None else min(waiting, limit)
