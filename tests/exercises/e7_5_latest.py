"""Exercise 7.5: `Latest()`, which positions of a game are still worth drawing."""


class right_on_the_circle:
    def __init__(self):
        self.newest = None

    def take(self, number):
        if self.newest is not None and not 0 < (number - self.newest) % 65536 < 32768:
            return False
        self.newest = number
        return True


class right_unwrapped:
    """Keeps a number that never wraps: the one of all that could be meant which is nearest to the newest."""

    def __init__(self):
        self.newest = None

    def take(self, number):
        if self.newest is None:
            self.newest = number
            return True
        base = self.newest - self.newest % 65536 + number
        nearest = min((base - 65536, base, base + 65536), key=lambda one: abs(one - self.newest))
        is_newer, self.newest = nearest > self.newest, max(nearest, self.newest)
        return is_newer


class right_as_in_rfc_1982:
    def __init__(self):
        self.last = -1

    def take(self, i2):
        i1, half = self.last, 2**15
        newer = i1 < 0 or (i1 < i2 and i2 - i1 < half) or (i1 > i2 and i1 - i2 > half)
        if newer:
            self.last = i2
        return newer


class right_signed:
    """As two's complement: the difference, read as a signed number of 16 bits."""

    def __init__(self):
        self.last = None

    def take(self, number):
        ahead = 1 if self.last is None else ((number - self.last + 0x8000) & 0xFFFF) - 0x8000
        self.last = number if ahead > 0 else self.last
        return ahead > 0


class variant:
    """The right answer, which subclasses spoil."""

    def __init__(self):
        self.newest = None

    def newer(self, number):
        return 0 < (number - self.newest) % 65536 < 32768

    def take(self, number):
        if self.newest is not None and not self.newer(number):
            return False
        self.newest = number
        return True


class wrong_stops_at_the_wrap(variant):
    def newer(self, number):
        return number > self.newest


class wrong_draws_twice(variant):
    def newer(self, number):
        return (number - self.newest) % 65536 < 32768


class wrong_goes_backward(variant):
    def newer(self, number):
        return True


class wrong_goes_backward__not_the_same(variant):
    def newer(self, number):
        return number != self.newest


class wrong_goes_backward_at_the_wrap(variant):
    def newer(self, number):
        return number > self.newest or self.newest > 65000


class wrong_looks_ahead_too_little(variant):
    def newer(self, number):
        return 0 < (number - self.newest) % 65536 < 500


class wrong_looks_ahead_too_little__signed_bytes(variant):
    def newer(self, number):
        return number > self.newest if abs(number - self.newest) < 10_000 else self.newest - number > 60_000


class wrong_looks_ahead_too_far(variant):
    def newer(self, number):
        return 0 < (number - self.newest) % 65536 < 60_000


class wrong_waits_for_the_lost(variant):
    def newer(self, number):
        return number == (self.newest + 1) % 65536


class wrong_forgets_the_newest(variant):
    def take(self, number):
        drawn = super().take(number)
        self.newest = number
        return drawn


class wrong_refuses_the_first(variant):
    def __init__(self):
        self.newest = 0


class wrong_refuses_newer(variant):
    def newer(self, number):
        return 0 < (self.newest - number) % 65536 < 32768


class wrong_remembers_all(variant):
    def __init__(self):
        self.newest, self.seen, self.turn = None, set(), 0

    def take(self, number):
        self.turn += number == 0
        self.seen.add((self.turn, number))
        return super().take(number)


class wrong_shares_state:
    state = {"newest": None}  # noqa: RUF012  (this is the mistake)

    def take(self, number):
        newest = self.state["newest"]
        if newest is not None and not 0 < (number - newest) % 65536 < 32768:
            return False
        self.state["newest"] = number
        return True


class wrong_not_a_bool(variant):
    def take(self, number):
        if self.newest is None or self.newer(number):
            self.newest = number
            return number
        return None
