"""Exercise 6.4: `Seen(limit)`, `first(sender, id)`: copies of the last messages are found out, with bounded memory."""

from collections import OrderedDict, defaultdict, deque


class right_ordered_dict:
    def __init__(self, limit):
        self.limit, self.known = limit, OrderedDict()

    def first(self, sender, id):
        if (sender, id) in self.known:
            return False
        self.known[sender, id] = None
        if len(self.known) > self.limit:
            self.known.popitem(last=False)
        return True


class right_set_and_deque:
    def __init__(self, limit):
        self.order, self.known = deque(), set()
        self.limit = limit

    def first(self, *key):
        if key in self.known:
            return False
        if len(self.order) == self.limit:
            self.known.remove(self.order.popleft())
        self.order.append(key)
        self.known.add(key)
        return True


class right_two_generations:
    """Remembers between one and two times the limit, and forgets half of it at once."""

    def __init__(self, limit):
        self.limit, self.old, self.new = limit, set(), set()

    def first(self, sender, id):
        key = sender, id
        if key in self.old or key in self.new:
            return False
        if len(self.new) == self.limit:
            self.old, self.new = self.new, set()
        self.new.add(key)
        return True


class right_ring:
    def __init__(self, limit):
        self.ring, self.place, self.known = [None] * limit, 0, {None}

    def first(self, sender, id):
        key = f"{len(sender)}:{sender}{id}"
        if key in self.known:
            return False
        self.known.discard(self.ring[self.place])
        self.ring[self.place] = key
        self.known.add(key)
        self.place = (self.place + 1) % len(self.ring)
        return True


class wrong_takes_new_for_copies(right_ordered_dict):
    def first(self, sender, id):
        return not super().first(sender, id)


class wrong_misses_copies(right_ordered_dict):
    def first(self, sender, id):
        return True


class wrong_not_a_bool(right_ordered_dict):
    def first(self, sender, id):
        return None if not super().first(sender, id) else id


class wrong_confuses_senders(right_ordered_dict):
    def first(self, sender, id):
        return super().first("", id)


class wrong_confuses_senders__only_the_last_of_each(right_ordered_dict):
    def __init__(self, limit):
        self.last = {}

    def first(self, sender, id):
        new = self.last.get(sender) != id
        self.last[sender] = id
        return new


class wrong_glues_names(right_ordered_dict):
    def first(self, sender, id):
        return super().first("", sender + id)


class wrong_glues_names__colon(right_ordered_dict):
    def first(self, sender, id):
        return super().first("", f"{sender}:{id}")


class wrong_forgets_too_early(right_ordered_dict):
    def __init__(self, limit):
        super().__init__(limit - 1)


class wrong_forgets_too_early__all_at_once(right_ordered_dict):
    def first(self, sender, id):
        if (sender, id) in self.known:
            return False
        if len(self.known) == self.limit:
            self.known.clear()
        self.known[sender, id] = None
        return True


class wrong_forgets_too_early__the_newest(right_ordered_dict):
    def first(self, sender, id):
        if (sender, id) in self.known:
            return False
        if len(self.known) == self.limit:
            self.known.popitem()
        self.known[sender, id] = None
        return True


class wrong_copies_push_out:
    def __init__(self, limit):
        self.last = deque(maxlen=limit)

    def first(self, sender, id):
        new = (sender, id) not in self.last
        self.last.append((sender, id))
        return new


class wrong_copies_push_out__make_younger(right_ordered_dict):
    def first(self, sender, id):
        new = super().first(sender, id)
        self.known.move_to_end((sender, id))
        return new


class wrong_never_forgets:
    def __init__(self, limit):
        self.known = set()

    def first(self, sender, id):
        before = len(self.known)
        self.known.add((sender, id))
        return len(self.known) > before


class wrong_a_memory_for_each_sender:
    def __init__(self, limit):
        self.senders = defaultdict(lambda: right_ordered_dict(limit))

    def first(self, sender, id):
        return self.senders[sender].first(sender, id)


class wrong_slow:
    def __init__(self, limit):
        self.last = deque(maxlen=limit)

    def first(self, sender, id):
        if (sender, id) in self.last:
            return False
        self.last.append((sender, id))
        return True


class wrong_slow__list_of_text:
    def __init__(self, limit):
        self.limit, self.known = limit, []

    def first(self, sender, id):
        key = f"{len(sender)} {sender} {id}"
        if key in self.known:
            return False
        self.known = [*self.known, key][-self.limit :]
        return True


class wrong_shares_state(right_ordered_dict):
    known = OrderedDict()  # noqa: RUF012  (this is the mistake)

    def __init__(self, limit):
        self.limit = limit
