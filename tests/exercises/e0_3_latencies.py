"""Exercise 0.3: `latencies(samples)`, each from its due time."""

import math

import numpy


def right_comprehension(samples):
    return [s.received - s.due if s.received is not None else float("inf") for s in samples]


def right_loop(samples):
    found = []
    for sample in samples:
        if sample.received is None:
            found.append(math.inf)
            continue
        found.append((sample.received - sample.sent) + (sample.sent - sample.due))
    return found


def right_exception(samples):
    def latency(sample):
        try:
            return sample.received - sample.due
        except TypeError:
            return math.inf

    return tuple(map(latency, samples))


def right_recursion(samples):
    if not samples:
        return []
    first, *rest = samples
    return [math.inf if first.received is None else first.received - first.due, *right_recursion(rest)]


def right_numpy(samples):
    received = numpy.array([math.inf if s.received is None else s.received for s in samples])
    return received - numpy.array([s.due for s in samples])


def wrong_counts_from_sending(samples):
    return [math.inf if s.received is None else s.received - s.sent for s in samples]


def wrong_trips_over_the_unanswered(samples):
    return [s.received - s.due for s in samples]


def wrong_drops_the_unanswered(samples):
    return [s.received - s.due for s in samples if s.received is not None]


def wrong_unanswered_is_instant(samples):
    return [s.received - s.due if s.received else 0 for s in samples]


def wrong_unanswered_not_infinite(samples):
    return [None if s.received is None else s.received - s.due for s in samples]


def wrong_unanswered_not_infinite__the_worst_seen(samples):
    known = [s.received - s.due for s in samples if s.received is not None]
    return [max(known) if s.received is None else s.received - s.due for s in samples]


def wrong_reorders(samples):
    return sorted(math.inf if s.received is None else s.received - s.due for s in samples)


def wrong_counts_to_sending(samples):
    return [s.sent - s.due for s in samples]


def wrong_upside_down(samples):
    return [math.inf if s.received is None else s.due - s.received for s in samples]


def wrong_wrong_unit(samples):
    return [math.inf if s.received is None else (s.received - s.due) / 1000 for s in samples]


def wrong_not_the_answer_time(samples):
    return [math.inf if s.received is None else s.received for s in samples]


def wrong_not_a_list(samples):
    for s in samples:
        yield math.inf if s.received is None else s.received - s.due


def wrong_not_a_list__the_average(samples):
    return sum(s.received - s.due for s in samples) / len(samples)


def wrong_raises_TypeError(samples):
    return [math.inf if s["received"] is None else s["received"] - s["due"] for s in samples]


def wrong_returns_nothing(samples):
    found = []
    for s in samples:
        found.append(math.inf if s.received is None else s.received - s.due)
