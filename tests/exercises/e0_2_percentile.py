"""Exercise 0.2: `percentile(values, p)` by nearest rank."""

import heapq
import math
import statistics

import numpy


def right_ceil(values, p):
    return sorted(values)[math.ceil(p / 100 * len(values)) - 1]


def right_floor_division(values, p):
    rank = -(-len(values) * p // 100)
    return sorted(values)[rank - 1]


def right_counting(values, p):
    for candidate in sorted(values):
        if 100 * sum(value <= candidate for value in values) >= p * len(values):
            return candidate


def right_smallest_few(values, p):
    return heapq.nsmallest(math.ceil(len(values) * p / 100), values)[-1]


def right_recursion(values, p):
    def drop(rest, rank):
        smallest = min(rest)
        if rank <= 1:
            return smallest
        rest.remove(smallest)
        return drop(rest, rank - 1)

    return drop(list(values), len(values) * p / 100)


def right_numpy(values, p):
    return numpy.percentile(values, p, method="inverted_cdf")


def wrong_off_by_one(values, p):
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * p / 100), len(ordered) - 1)]


def wrong_off_by_one__rank_as_index(values, p):
    return sorted(values)[math.ceil(len(values) * p / 100)]


def wrong_rounds_down(values, p):
    return sorted(values)[int(len(values) * p / 100) - 1]


def wrong_rounds_down__last_index(values, p):
    return sorted(values)[int((len(values) - 1) * p / 100)]


def wrong_rounds_to_nearest(values, p):
    return sorted(values)[max(round(len(values) * p / 100), 1) - 1]


def wrong_rounds_to_nearest__half_up(values, p):
    rank = max(1, int(len(values) * p / 100 + 0.5))
    return sorted(values)[rank - 1]


def wrong_misses_the_smallest(values, p):
    rank = int(len(values) * p / 100 + 0.5)
    return sorted(values)[rank - 1]


def wrong_interpolates(values, p):
    ordered = sorted(values)
    place = (len(ordered) - 1) * p / 100
    low, high = math.floor(place), math.ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def wrong_interpolates__statistics(values, p):
    return statistics.quantiles(values, n=100)[p - 1]


def wrong_interpolates__numpy(values, p):
    return numpy.percentile(values, p)


def wrong_not_sorted(values, p):
    return values[math.ceil(len(values) * p / 100) - 1]


def wrong_sorts_in_place(values, p):
    values.sort()
    return values[math.ceil(len(values) * p / 100) - 1]


def wrong_raises_TypeError(values, p):
    ordered = list(values).sort()
    return ordered[math.ceil(len(values) * p / 100) - 1]


def wrong_raises_IndexError(values, p):
    return sorted(values)[math.ceil(len(values) * p) - 1]


def wrong_wrong_rank(values, p):
    return sorted(values)[-1]


async def wrong_is_async(values, p):
    return sorted(values)[math.ceil(len(values) * p / 100) - 1]
