"""Exercise 1.1: `since(kept, epoch, cursor)`, the server's side of every feed."""

import re
from bisect import bisect_right
from itertools import dropwhile

from labs.feed import BadCursor, Gone


def right_partition(kept, epoch, cursor):
    if cursor is None:
        return kept
    of_epoch, _, number = cursor.partition("-")
    if not number.isdigit():
        raise BadCursor(cursor)
    last = int(number)
    if of_epoch != epoch or (kept and last < kept[0].id - 1):
        raise Gone
    return [event for event in kept if event.id > last]


def right_pattern_and_slice(kept, epoch, cursor):
    if cursor is None:
        return list(kept)
    match = re.fullmatch(r"([0-9a-f]+)-(\d+)", cursor)
    if match is None:
        raise BadCursor("what is this?")
    if match[1] != epoch:
        raise Gone("restarted")
    oldest = kept[0].id if kept else int(match[2]) + 1
    place = int(match[2]) + 1 - oldest
    if place < 0:
        raise Gone("too old")
    return kept[place:]


def right_exception(kept, epoch, cursor):
    if cursor is None:
        return tuple(kept)
    try:
        of_epoch, number = cursor.split("-")
        last = int(number)
    except ValueError as error:
        raise BadCursor("not a cursor") from error
    if of_epoch != epoch:
        raise Gone("another epoch")
    if kept and kept[0].id > last + 1:
        raise Gone("not kept")
    return dropwhile(lambda event: event.id <= last, kept)


def right_bisect(kept, epoch, cursor):
    if cursor is None:
        return kept
    if "-" not in cursor or not cursor.split("-")[-1].isdecimal():
        raise BadCursor("not a cursor")
    of_epoch, last = cursor.rsplit("-", 1)[0], int(cursor.rsplit("-", 1)[1])
    numbers = [event.id for event in kept]
    if of_epoch != epoch or (numbers and last + 1 < min(numbers)):
        raise Gone("start over")
    return kept[bisect_right(numbers, last) :]


def right_generator(kept, epoch, cursor):
    last = 0
    if cursor is not None:
        of_epoch, _, number = cursor.partition("-")
        if not number.isdecimal():
            raise BadCursor("not a cursor")
        last = int(number)
        if of_epoch != epoch or (kept and last + 1 < kept[0].id):
            raise Gone("start over")
    for event in kept:
        if event.id > last:
            yield event


def parse(cursor):
    of_epoch, _, number = cursor.partition("-")
    if not number.isdecimal():
        raise BadCursor("not a cursor")
    return of_epoch, int(number)


def wrong_includes_the_last(kept, epoch, cursor):
    if cursor is None:
        return kept
    of_epoch, last = parse(cursor)
    if of_epoch != epoch or last + 1 < kept[0].id:
        raise Gone("start over")
    return [event for event in kept if event.id >= last]


def wrong_skips_one(kept, epoch, cursor):
    if cursor is None:
        return kept
    of_epoch, last = parse(cursor)
    if of_epoch != epoch:
        raise Gone("start over")
    return kept[last + 1 - kept[0].id + 1 :]


def wrong_newest_first(kept, epoch, cursor):
    if cursor is None:
        return kept
    of_epoch, last = parse(cursor)
    found = []
    for event in reversed(kept):
        if event.id <= last:
            return found
        found.append(event)
    if of_epoch != epoch or last + 1 < kept[0].id:
        raise Gone("start over")
    return found


def wrong_compares_text(kept, epoch, cursor):
    if cursor is None:
        return kept
    of_epoch, _, last = cursor.partition("-")
    if not last.isdecimal():
        raise BadCursor("not a cursor")
    if of_epoch != epoch or int(last) + 1 < kept[0].id:
        raise Gone("start over")
    return [event for event in kept if event.cursor > cursor]


def wrong_ignores_the_epoch(kept, epoch, cursor):
    if cursor is None:
        return kept
    _, last = parse(cursor)
    if last + 1 < kept[0].id:
        raise Gone("start over")
    return [event for event in kept if event.id > last]


def wrong_silent_hole(kept, epoch, cursor):
    if cursor is None:
        return kept
    of_epoch, last = parse(cursor)
    if of_epoch != epoch:
        raise Gone("start over")
    return [event for event in kept if event.id > last]


def wrong_gone_too_early(kept, epoch, cursor):
    if cursor is None:
        return kept
    of_epoch, last = parse(cursor)
    if of_epoch != epoch or last < kept[0].id:
        raise Gone("start over")
    return [event for event in kept if event.id > last]


def wrong_gone_too_early__must_still_have_it(kept, epoch, cursor):
    if cursor is None:
        return kept
    of_epoch, last = parse(cursor)
    if of_epoch != epoch or all(event.cursor != cursor for event in kept):
        raise Gone("start over")
    return [event for event in kept if event.id > last]


def wrong_gone_too_late(kept, epoch, cursor):
    if cursor is None:
        return kept
    of_epoch, last = parse(cursor)
    if of_epoch != epoch or kept[0].id - last > 2:
        raise Gone("start over")
    return [event for event in kept if event.id > last]


def wrong_takes_the_number_for_a_place(kept, epoch, cursor):
    if cursor is None:
        return kept
    of_epoch, last = parse(cursor)
    if of_epoch != epoch or last + 1 < kept[0].id:
        raise Gone("start over")
    return kept[last:]


def wrong_nothing_is_an_error(kept, epoch, cursor):
    if cursor is None:
        return kept
    of_epoch, last = parse(cursor)
    newer = [event for event in kept if event.id > last]
    if of_epoch != epoch or not newer or newer[0].id != last + 1:
        raise Gone("start over")
    return newer


def wrong_accepts_nonsense(kept, epoch, cursor):
    if cursor is None or "-" not in cursor:
        return kept
    of_epoch, last = parse(cursor)
    if of_epoch != epoch or last + 1 < kept[0].id:
        raise Gone("start over")
    return [event for event in kept if event.id > last]


def wrong_calls_nonsense_gone(kept, epoch, cursor):
    if cursor is None:
        return kept
    of_epoch, _, number = cursor.partition("-")
    if of_epoch != epoch:
        raise Gone("start over")
    if not number.isdecimal():
        raise BadCursor("not a cursor")
    if int(number) + 1 < kept[0].id:
        raise Gone("start over")
    return [event for event in kept if event.id > int(number)]


def wrong_takes_empty_for_none(kept, epoch, cursor):
    if not cursor:
        return kept
    of_epoch, last = parse(cursor)
    if of_epoch != epoch or last + 1 < kept[0].id:
        raise Gone("start over")
    return [event for event in kept if event.id > last]


def wrong_raises_ValueError(kept, epoch, cursor):
    if cursor is None:
        return kept
    of_epoch, number = cursor.split("-")
    if of_epoch != epoch or int(number) + 1 < kept[0].id:
        raise Gone("start over")
    return [event for event in kept if event.id > int(number)]


def wrong_raises_AttributeError(kept, epoch, cursor):
    of_epoch, last = parse(cursor)
    if of_epoch != epoch or last + 1 < kept[0].id:
        raise Gone("start over")
    return [event for event in kept if event.id > last]


def wrong_raises_TypeError(kept, epoch, cursor):
    if cursor is None:
        return kept
    of_epoch, _, last = cursor.partition("-")
    if of_epoch != epoch:
        raise Gone("start over")
    return [event for event in kept if event.id > last]


def wrong_raises_IndexError(kept, epoch, cursor):
    of_epoch, last = parse(cursor) if cursor else (epoch, kept[0].id - 1)
    if of_epoch != epoch or last + 1 < kept[0].id:
        raise Gone("start over")
    return [event for event in kept if event.id > last]


def wrong_no_cursor(kept, epoch, cursor):
    if cursor is None:
        return []
    of_epoch, last = parse(cursor)
    if of_epoch != epoch or last + 1 < kept[0].id:
        raise Gone("start over")
    return [event for event in kept if event.id > last]


def wrong_not_events(kept, epoch, cursor):
    if cursor is None:
        return [event.data for event in kept]
    of_epoch, last = parse(cursor)
    if of_epoch != epoch or last + 1 < kept[0].id:
        raise Gone("start over")
    return [event.data for event in kept if event.id > last]


def wrong_returns_nothing(kept, epoch, cursor):
    if cursor is not None:
        of_epoch, last = parse(cursor)
        if of_epoch == epoch:
            return [event for event in kept if event.id > last]
