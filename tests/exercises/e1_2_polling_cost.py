"""Exercise 1.2: `polling_cost(every_ms, rtt_ms)`, the model in three numbers."""

import math
from fractions import Fraction
from typing import NamedTuple


def right_ceil(every_ms, rtt_ms):
    interval = max(1, math.ceil(rtt_ms / every_ms)) * every_ms
    return (interval + rtt_ms) / 2, interval + rtt_ms / 2, 1000 / interval


def right_loop(every_ms, rtt_ms):
    interval = every_ms
    while interval < rtt_ms:
        interval += every_ms
    one_way = rtt_ms / 2
    return [0.5 * interval + one_way, interval + one_way, 1 / (interval / 1000)]


def right_floor_division(every_ms, rtt_ms):
    interval = every_ms * (-(-rtt_ms // every_ms) or 1)
    best, worst = rtt_ms / 2, rtt_ms / 2 + interval
    return (best + worst) / 2, worst, 1e3 / interval


class Cost(NamedTuple):
    mean_ms: float
    worst_ms: float
    requests_per_s: float


def right_named(every_ms, rtt_ms):
    if rtt_ms <= every_ms:
        interval = Fraction(every_ms)
    else:
        ticks, rest = divmod(rtt_ms, every_ms)
        interval = Fraction(every_ms) * (ticks + (rest > 0))
    return Cost(float(interval / 2) + rtt_ms / 2, float(interval) + rtt_ms / 2, float(1000 / interval))


def stretched(every_ms, rtt_ms):
    return every_ms * max(1, math.ceil(rtt_ms / every_ms))


def wrong_mean_is_worst(every_ms, rtt_ms):
    interval = stretched(every_ms, rtt_ms)
    return interval + rtt_ms / 2, interval + rtt_ms / 2, 1000 / interval


def wrong_worst_is_twice(every_ms, rtt_ms):
    interval = stretched(every_ms, rtt_ms)
    return (interval + rtt_ms) / 2, 2 * interval + rtt_ms / 2, 1000 / interval


def wrong_worst_is_mean(every_ms, rtt_ms):
    interval = stretched(every_ms, rtt_ms)
    return (interval + rtt_ms) / 2, (interval + rtt_ms) / 2, 1000 / interval


def wrong_in_seconds(every_ms, rtt_ms):
    interval, rtt = stretched(every_ms, rtt_ms) / 1000, rtt_ms / 1000
    return (interval + rtt) / 2, interval + rtt / 2, 1 / interval


def wrong_adds_both_ways(every_ms, rtt_ms):
    interval = stretched(every_ms, rtt_ms)
    return interval / 2 + rtt_ms, interval + rtt_ms, 1000 / interval


def wrong_adds_both_ways__to_the_worst(every_ms, rtt_ms):
    interval = stretched(every_ms, rtt_ms)
    return interval / 2 + rtt_ms / 2, interval + rtt_ms, 1000 / interval


def wrong_ignores_the_distance(every_ms, rtt_ms):
    interval = stretched(every_ms, rtt_ms)
    return interval / 2, interval, 1000 / interval


def wrong_per_millisecond(every_ms, rtt_ms):
    interval = stretched(every_ms, rtt_ms)
    return (interval + rtt_ms) / 2, interval + rtt_ms / 2, 1 / interval


def wrong_per_hour(every_ms, rtt_ms):
    interval = stretched(every_ms, rtt_ms)
    return (interval + rtt_ms) / 2, interval + rtt_ms / 2, 3600 * 1000 / interval


def wrong_upside_down(every_ms, rtt_ms):
    interval = stretched(every_ms, rtt_ms)
    return (interval + rtt_ms) / 2, interval + rtt_ms / 2, interval / 1000


def wrong_overlaps(every_ms, rtt_ms):
    return (every_ms + rtt_ms) / 2, every_ms + rtt_ms / 2, 1000 / every_ms


def wrong_overlaps__only_the_cost_is_stretched(every_ms, rtt_ms):
    return (every_ms + rtt_ms) / 2, every_ms + rtt_ms / 2, 1000 / stretched(every_ms, rtt_ms)


def wrong_overlaps__only_the_worst_is_not_stretched(every_ms, rtt_ms):
    interval = stretched(every_ms, rtt_ms)
    return (interval + rtt_ms) / 2, every_ms + rtt_ms / 2, 1000 / interval


def wrong_ignores_the_ticks(every_ms, rtt_ms):
    interval = max(every_ms, rtt_ms)
    return (interval + rtt_ms) / 2, interval + rtt_ms / 2, 1000 / interval


def wrong_rounds_down(every_ms, rtt_ms):
    interval = every_ms * max(1, rtt_ms // every_ms)
    return (interval + rtt_ms) / 2, interval + rtt_ms / 2, 1000 / interval


def wrong_one_tick_too_many(every_ms, rtt_ms):
    interval = every_ms * (rtt_ms // every_ms + 1)
    return (interval + rtt_ms) / 2, interval + rtt_ms / 2, 1000 / interval


def wrong_raises_ZeroDivisionError(every_ms, rtt_ms):
    interval = every_ms * math.ceil(rtt_ms / every_ms)
    return (interval + rtt_ms) / 2, interval + rtt_ms / 2, 1000 / interval


def wrong_no_distance_no_interval(every_ms, rtt_ms):
    interval = every_ms * math.ceil(rtt_ms / every_ms)
    return (interval + rtt_ms) / 2, interval + rtt_ms / 2, 1000 / every_ms


def wrong_not_three_numbers(every_ms, rtt_ms):
    interval = stretched(every_ms, rtt_ms)
    return (interval + rtt_ms) / 2, 1000 / interval


def wrong_not_three_numbers__text(every_ms, rtt_ms):
    interval = stretched(every_ms, rtt_ms)
    return f"{(interval + rtt_ms) / 2} ms", f"{interval + rtt_ms / 2} ms", f"{1000 / interval}/s"


def wrong_wrong_mean(every_ms, rtt_ms):
    interval = stretched(every_ms, rtt_ms)
    return math.nan, interval + rtt_ms / 2, 1000 / interval


def wrong_returns_nothing(every_ms, rtt_ms):
    interval = stretched(every_ms, rtt_ms)
    print((interval + rtt_ms) / 2, interval + rtt_ms / 2, 1000 / interval)
