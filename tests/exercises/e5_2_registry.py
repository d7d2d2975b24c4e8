"""Exercise 5.2: the class `Registry`, who is in which room."""

import re
from collections import defaultdict
from string import ascii_lowercase, digits

ROOM = re.compile(r"[a-z0-9-]{1,64}")


def named(room):
    if not isinstance(room, str) or not ROOM.fullmatch(room):
        raise ValueError("not a room's name")
    return room


class right_two_indexes:
    def __init__(self):
        self.who, self.where = {}, {}

    def join(self, room, member):
        others = self.members(room)
        if member in others:
            return set()
        self.who.setdefault(room, set()).add(member)
        self.where.setdefault(member, set()).add(room)
        return others

    def leave(self, room, member):
        if member not in self.members(room):
            return set()
        self.who[room].remove(member)
        self.where[member].remove(room)
        if not self.who[room]:
            del self.who[room]
        if not self.where[member]:
            del self.where[member]
        return self.members(room)

    def leave_all(self, member):
        return {room: self.leave(room, member) for room in self.rooms(member)}

    def members(self, room):
        return set(self.who.get(named(room), ()))

    def rooms(self, member):
        return set(self.where.get(member, ()))


class right_list_of_pairs:
    def __init__(self):
        self.pairs = []

    def join(self, room, member):
        others = self.members(room)
        if member in others:
            return []
        self.pairs.append((room, member))
        return others

    def leave(self, room, member):
        others = self.members(room)
        if (room, member) not in self.pairs:
            return []
        self.pairs.remove((room, member))
        others.remove(member)
        return others

    def leave_all(self, member):
        result = {}
        for room in self.rooms(member):
            result[room] = self.leave(room, member)
        return result

    def members(self, room):
        if type(room) is not str or not 1 <= len(room) <= 64 or set(room) - set(ascii_lowercase + digits + "-"):
            raise ValueError(room)
        return [one for where, one in self.pairs if where == room]

    def rooms(self, member):
        return [where for where, one in self.pairs if one is member]


class right_one_dict_in_order:
    def __init__(self):
        self.all = {}

    def join(self, room, member):
        there = self.all.setdefault(named(room), {})
        if member in there:
            return ()
        others = tuple(there)
        there[member] = True
        return others

    def leave(self, room, member):
        there = self.all.get(named(room), {})
        if there.pop(member, False) is False:
            return ()
        if not there:
            del self.all[room]
        return tuple(there)

    def leave_all(self, member):
        rooms = self.rooms(member)
        return dict(zip(rooms, [self.leave(room, member) for room in rooms], strict=True))

    def members(self, room):
        return tuple(self.all.get(named(room), ()))

    def rooms(self, member):
        return tuple(room for room in self.all if member in self.all[room])


class wrong_shares_state(right_two_indexes):
    who, where = {}, {}

    def __init__(self):
        pass


class wrong_tells_the_newcomer(right_two_indexes):
    def join(self, room, member):
        super().join(room, member)
        return self.members(room)


class wrong_tells_others(right_two_indexes):
    def join(self, room, member):
        return set(list(super().join(room, member))[:0])


class wrong_tells_again(right_two_indexes):
    def join(self, room, member):
        super().join(room, member)
        return self.members(room) - {member}


class wrong_is_there_twice(right_list_of_pairs):
    def join(self, room, member):
        others = [one for one in self.members(room) if one is not member]
        told = [] if member in self.members(room) else others
        self.pairs.append((room, member))
        return told


class wrong_tells_other_rooms(right_two_indexes):
    def join(self, room, member):
        new = member not in self.members(room)
        super().join(room, member)
        return {one for one in self.where if one is not member} if new else set()


class wrong_leaves_other_rooms(right_two_indexes):
    def leave(self, room, member):
        others = self.members(room) - {member} if member in self.members(room) else set()
        for one in self.rooms(member):
            super().leave(one, member)
        return others


class wrong_tells_the_leaver(right_two_indexes):
    def leave(self, room, member):
        there = self.members(room)
        super().leave(room, member)
        return there if member in there and len(there) > 1 and room not in self.rooms(member) else set()


class wrong_tells_the_leaver__alone(right_two_indexes):
    def leave(self, room, member):
        super().leave(room, member)
        return {member}


class wrong_tells_for_nothing(right_two_indexes):
    def leave(self, room, member):
        super().leave(room, member)
        return self.members(room)


class wrong_tells_for_nothing__raises(right_two_indexes):
    def leave(self, room, member):
        named(room)
        self.who[room].remove(member)
        self.where[member].remove(room)
        if not self.who[room]:
            del self.who[room]
        return self.members(room)


class wrong_takes_names_for_members(right_one_dict_in_order):
    def join(self, room, member):
        there = self.all.setdefault(named(room), {})
        others = [one for name, one in there.items() if name != member.name]
        new = member.name not in there
        there[member.name] = member
        return others if new else []

    def leave(self, room, member):
        there = self.all.get(named(room), {})
        return list(there.values()) if there.pop(member.name, None) else []

    def members(self, room):
        return list(self.all.get(named(room), {}).values())

    def rooms(self, member):
        return [room for room in self.all if member.name in self.all[room]]


class wrong_dies_of_a_stranger(right_two_indexes):
    def leave_all(self, member):
        return {room: self.leave(room, member) for room in set(self.where[member])}


class wrong_wrong_farewell(right_two_indexes):
    def leave_all(self, member):
        rooms = self.rooms(member)
        return set().union(*(self.leave(room, member) for room in rooms))


class wrong_wrong_farewell__with_oneself(right_two_indexes):
    def leave_all(self, member):
        there = {room: self.members(room) for room in self.rooms(member)}
        for room in there:
            self.leave(room, member)
        return there


class wrong_stays_somewhere(right_two_indexes):
    def leave_all(self, member):
        told = {room: self.members(room) - {member} for room in self.rooms(member)}
        self.where.pop(member, None)
        return told


class wrong_raises_RuntimeError(right_two_indexes):
    def leave_all(self, member):
        return {room: self.leave(room, member) for room in self.where.get(member, ())}


class wrong_not_a_copy(right_two_indexes):
    def members(self, room):
        return self.who.get(named(room), set())

    def join(self, room, member):
        others = set(self.members(room))
        super().join(room, member)
        return others - {member} if member not in others else set()

    def leave(self, room, member):
        return set(super().leave(room, member))


class wrong_not_a_copy__rooms(right_two_indexes):
    def rooms(self, member):
        return self.where.get(member, set())

    def leave_all(self, member):
        return {room: self.leave(room, member) for room in list(self.rooms(member))}


class wrong_not_a_copy__view(right_one_dict_in_order):
    def members(self, room):
        return self.all.get(named(room), {}).keys()


class named_by:
    """A registry whose names are checked in another way."""

    def members(self, room):
        self.check(room)
        return set(self.who.get(room, ()))


class wrong_refuses_good_names(named_by, right_two_indexes):
    def check(self, room):
        if not isinstance(room, str) or not re.fullmatch("[a-z][a-z0-9-]{0,63}", room):
            raise ValueError(room)


class wrong_takes_an_empty_name(named_by, right_two_indexes):
    def check(self, room):
        if not isinstance(room, str) or not re.fullmatch("[a-z0-9-]{,64}", room):
            raise ValueError(room)


class wrong_takes_long_names(named_by, right_two_indexes):
    def check(self, room):
        if not isinstance(room, str) or not re.fullmatch("[a-z0-9-]+", room):
            raise ValueError(room)


class wrong_takes_line_breaks(named_by, right_two_indexes):
    def check(self, room):
        if not isinstance(room, str) or not re.match("^[a-z0-9-]{1,64}$", room):
            raise ValueError(room)


class wrong_takes_spaces(named_by, right_two_indexes):
    def check(self, room):
        if not isinstance(room, str) or not re.match("[a-z0-9-]{1,64}", room) or len(room) > 64:
            raise ValueError(room)


class wrong_takes_capitals(named_by, right_two_indexes):
    def check(self, room):
        if not isinstance(room, str) or not re.fullmatch("[a-z0-9-]{1,64}", room, re.IGNORECASE):
            raise ValueError(room)


class wrong_takes_letters_of_the_world(named_by, right_two_indexes):
    def check(self, room):
        legal = isinstance(room, str) and room == room.lower() and room.replace("-", "a").isalnum()
        if not legal or len(room) > 64:
            raise ValueError(room)


class wrong_dies_of_a_number(named_by, right_two_indexes):
    def check(self, room):
        if not re.fullmatch("[a-z0-9-]{1,64}", room):
            raise ValueError(room)


class wrong_leave_takes_any_name(right_two_indexes):
    def leave(self, room, member):
        return super().leave(room, member) if room in self.rooms(member) else set()


class wrong_members_takes_any_name(right_one_dict_in_order):
    def members(self, room):
        return tuple(self.all.get(room, ()) if isinstance(room, str) else ())


class wrong_remembers_empty_rooms(right_two_indexes):
    def __init__(self):
        self.who, self.where = defaultdict(set), {}

    def leave(self, room, member):
        if member not in self.members(room):
            return set()
        self.who[room].remove(member)
        self.where[member].remove(room)
        if not self.where[member]:
            del self.where[member]
        return self.members(room)


class wrong_remembers_members(right_two_indexes):
    def leave(self, room, member):
        if member not in self.members(room):
            return set()
        self.who[room].remove(member)
        self.where[member].remove(room)
        if not self.who[room]:
            del self.who[room]
        return self.members(room)


class wrong_remembers_after_leave_all(right_two_indexes):
    def leave_all(self, member):
        told = {}
        for room in self.rooms(member):
            self.who[room].discard(member)
            told[room] = self.members(room)
        self.where.pop(member, None)
        return told


class wrong_remembers_what_was_asked(right_two_indexes):
    def __init__(self):
        self.who, self.where = defaultdict(set), defaultdict(set)

    def members(self, room):
        return set(self.who[named(room)])

    def leave(self, room, member):
        if member not in self.members(room):
            return set()
        others = super().leave(room, member)
        if not self.who[room]:
            del self.who[room]
        return others
