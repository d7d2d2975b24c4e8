"""What a lost packet does to the messages behind it: head-of-line blocking. Shares from 0 to 1, times in milliseconds.

A message is one packet, messages come at an even rate, and each packet is lost by itself with probability p. The sender learns
of a hole when it hears that `later` packets behind it have arrived: 1 for Linux's TCP (RACK, RFC 8985, as long as messages are
further apart than a quarter of a round trip), 3 for SCTP (RFC 9260 §7.2.4) and for TCP as it was (RFC 5681 §3.2).

Left out: what a congestion window that shrinks with each loss holds back, and timers, which only the last messages need.
"""

import math
import random

RACK, THREE = 1, 3


def repaired_ms(rtt_ms: float, per_second: float, later: int) -> float:
    """How long a lost message takes: until the packets behind it are sent, a round trip until that is known, one way again."""
    return later * 1000 / per_second + rtt_ms + rtt_ms / 2


def blocked(rtt_ms: float, per_second: float, later: int) -> int:
    """How many messages one hole makes late, its own included: those that are due while more than a round trip is left."""
    return math.ceil((repaired_ms(rtt_ms, per_second, later) - rtt_ms) * per_second / 1000)


def late_in_order(loss: float, rtt_ms: float, per_second: float, later: int) -> float:
    """The share of messages that take longer than a round trip, in order: one of the last `blocked` packets was lost."""
    return 1 - (1 - loss) ** blocked(rtt_ms, per_second, later)


def late_in_any_order(loss: float) -> float:
    """The same where nobody waits for a hole: the lost ones come late, and no other."""
    return loss


def lost(loss: float, *, again: bool) -> float:
    """The share of messages that never come: none where what is lost is sent again."""
    return 0.0 if again else loss


def simulate(
    loss: float, rtt_ms: float, per_second: float, later: int, messages: int, *, in_order: bool = True, seed: int = 1
) -> list[float]:
    """The delay of each message, one by one, when what is sent again and what tells of it can be lost as well."""
    coin, every = random.Random(seed), 1000 / per_second
    delays, free = [], 0.0
    for number in range(messages):
        sent = number * every
        while coin.random() < loss:
            sent = noticed_ms(sent, loss, rtt_ms, every, later, coin)
        arrived = sent + rtt_ms / 2
        free = max(free, arrived) if in_order else arrived
        delays.append(free - number * every)
    return delays


def noticed_ms(sent: float, loss: float, rtt_ms: float, every: float, later: int, coin: random.Random) -> float:
    """When the sender knows that a packet is lost: `later` of those behind it have arrived, and the word has come back."""
    behind, heard = math.floor(sent / every) + 1, 0
    while True:
        heard += coin.random() < (1 - loss) ** 2
        if heard == later:
            return behind * every + rtt_ms
        behind += 1
