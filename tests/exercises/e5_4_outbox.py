"""Exercise 5.4: the class `Outbox`: joined, bounded, never skipped."""

import asyncio
from collections import deque


class right_list_and_size:
    def __init__(self, transport, close, limit):
        self.transport, self.close, self.limit = transport, close, limit
        self.frames, self.size, self.closed = [], 0, False

    def put(self, frame):
        if self.closed:
            return
        self.size += len(frame)
        if self.size + self.transport.get_write_buffer_size() > self.limit:
            self.closed = True
            self.frames = []
            self.close(1013)
            return
        if not self.frames:
            asyncio.get_running_loop().call_soon(self.flush)
        self.frames.append(frame)

    def flush(self):
        frames, self.frames, self.size = self.frames, [], 0
        if frames:
            self.transport.write(b"".join(frames))


class right_bytearray_and_handle:
    handle = None

    def __init__(self, transport, close, limit):
        self.transport, self.close, self.limit = transport, close, limit
        self.waiting = bytearray()

    def put(self, frame):
        if self.waiting is None:
            return
        if len(self.waiting) + len(frame) + self.transport.get_write_buffer_size() > self.limit:
            if self.handle:
                self.handle.cancel()
            self.waiting = self.handle = None
            self.close(1013)
            return
        self.waiting += frame
        self.handle = self.handle or asyncio.get_running_loop().call_soon(self.flush)

    def flush(self):
        data, self.waiting, self.handle = bytes(self.waiting), bytearray(), None
        self.transport.write(data)


class right_writes_what_fits_before_it_closes:
    def __init__(self, transport, close, limit):
        self.transport, self.limit, self.end = transport, limit, close
        self.queue, self.due = deque(), False

    def put(self, frame):
        if self.end is None:
            return
        held = sum(map(len, self.queue))
        if held + self.transport.get_write_buffer_size() + len(frame) > self.limit:
            self.flush()
            end, self.end = self.end, None
            end(code=1013)
        else:
            self.queue.append(frame)
            if not self.due:
                self.due = True
                asyncio.get_event_loop().call_soon(self.flush)

    def flush(self):
        self.due = False
        if self.queue:
            self.transport.writelines(list(self.queue))
            self.queue.clear()


class wrong_writes_each(right_list_and_size):
    def put(self, frame):
        if self.closed:
            return
        if self.transport.get_write_buffer_size() + len(frame) > self.limit:
            self.closed = True
            self.close(1013)
        else:
            self.transport.write(frame)


class wrong_writes_each__call_soon(right_list_and_size):
    def put(self, frame):
        asyncio.get_running_loop().call_soon(self.transport.write, frame)


class wrong_never_writes(right_list_and_size):
    def flush(self):
        pass


class wrong_never_writes__when_there_is_enough(right_list_and_size):
    def flush(self):
        if self.size >= 400:
            super().flush()


class wrong_waits_for_a_timer(right_list_and_size):
    def put(self, frame):
        if not self.frames:
            asyncio.get_running_loop().call_later(0.005, self.flush)
        self.frames.append(frame)


class wrong_makes_tasks(right_list_and_size):
    def put(self, frame):
        asyncio.create_task(self.send(frame))

    async def send(self, frame):
        self.transport.write(frame)


class wrong_makes_tasks__one_for_each_member(right_list_and_size):
    def __init__(self, transport, close, limit):
        super().__init__(transport, close, limit)
        self.more = asyncio.Event()
        self.task = asyncio.create_task(self.run())

    def put(self, frame):
        self.frames.append(frame)
        self.more.set()

    async def run(self):
        while True:
            await self.more.wait()
            self.more.clear()
            self.flush()


class wrong_not_bytes(right_list_and_size):
    def flush(self):
        frames, self.frames, self.size = self.frames, [], 0
        self.transport.write(frames)


class wrong_writes_once(right_list_and_size):
    due = False

    def put(self, frame):
        self.frames.append(frame)
        if not self.due:
            self.due = True
            asyncio.get_running_loop().call_soon(self.flush)


class wrong_sends_again(right_list_and_size):
    def flush(self):
        self.transport.write(b"".join(self.frames))

    def put(self, frame):
        self.frames.append(frame)
        if len(self.frames) == 1 or not self.due:
            asyncio.get_running_loop().call_soon(self.flush)

    due = False


class wrong_out_of_order(right_list_and_size):
    def flush(self):
        frames, self.frames, self.size = self.frames, [], 0
        self.transport.write(b"".join(reversed(frames)))


class wrong_loses_frames(right_list_and_size):
    def flush(self):
        frames, self.frames, self.size = self.frames, [], 0
        self.transport.write(frames[-1])


class wrong_counts_what_has_left(right_list_and_size):
    def flush(self):
        frames, self.frames = self.frames, []
        if frames:
            self.transport.write(b"".join(frames))

    def put(self, frame):
        if self.closed:
            return
        self.size += len(frame)
        if self.size > self.limit:
            self.closed = True
            self.frames = []
            self.close(1013)
            return
        if not self.frames:
            asyncio.get_running_loop().call_soon(self.flush)
        self.frames.append(frame)


class limited(right_list_and_size):
    """An outbox with another idea of the limit: `waits(frame)` is what it takes for waiting."""

    code = 1013

    def put(self, frame):
        if self.closed:
            return
        if self.waits(frame) > self.limit:
            self.closed = True
            self.frames = []
            self.close(self.code)
            return
        if not self.frames:
            asyncio.get_running_loop().call_soon(self.flush)
        self.frames.append(frame)

    def waits(self, frame):
        return sum(map(len, self.frames)) + len(frame) + self.transport.get_write_buffer_size()


class wrong_closes_at_the_limit(limited):
    def waits(self, frame):
        return super().waits(frame) + 1


class wrong_counts_frames(limited):
    def waits(self, frame):
        return len(self.frames) + 1


class wrong_ignores_the_transport(limited):
    def waits(self, frame):
        return sum(map(len, self.frames)) + len(frame)


class wrong_ignores_the_transport__no_limit(limited):
    def waits(self, frame):
        return 0


class wrong_ignores_what_it_holds(limited):
    def waits(self, frame):
        return self.transport.get_write_buffer_size() + len(frame)


class wrong_skips_frames(limited):
    def put(self, frame):
        if self.waits(frame) <= self.limit:
            super().put(frame)


class wrong_skips_frames__drops_the_oldest(limited):
    def put(self, frame):
        while self.waits(frame) > self.limit:
            if not self.frames:
                return
            del self.frames[0]
        super().put(frame)


class wrong_another_code(limited):
    code = 1008


class wrong_closes_again(limited):
    def put(self, frame):
        if self.waits(frame) > self.limit:
            self.frames = []
            self.close(1013)
            return
        if not self.frames:
            asyncio.get_running_loop().call_soon(self.flush)
        self.frames.append(frame)


class wrong_closes_again__notes_it_too_late(limited):
    def put(self, frame):
        if self.closed:
            return
        if self.waits(frame) > self.limit:
            self.close(1013)
            self.closed = True
            self.frames = []
            return
        if not self.frames:
            asyncio.get_running_loop().call_soon(self.flush)
        self.frames.append(frame)


class wrong_writes_after_close(limited):
    def put(self, frame):
        if self.closed:
            return
        if self.waits(frame) > self.limit:
            self.closed = True
            self.close(1013)
            return
        if not self.frames:
            asyncio.get_running_loop().call_soon(self.flush)
        self.frames.append(frame)


class wrong_keeps_the_frames(limited):
    def put(self, frame):
        if self.closed or self.waits(frame) > self.limit:
            if not self.closed:
                self.closed = True
                self.close(1013)
        elif not self.frames:
            asyncio.get_running_loop().call_soon(self.flush)
        self.frames.append(frame)

    def flush(self):
        if not self.closed:
            super().flush()


class wrong_raises_IndexError(right_list_and_size):
    def flush(self):
        data = self.frames.pop(0)
        while True:
            data += self.frames.pop(0)
