"""Exercise 2.1: `Board`, the server's wait."""

import asyncio
from collections import deque
from contextlib import suppress


class right_event_anew:
    def __init__(self):
        self.texts, self.news = [], asyncio.Event()

    def publish(self, text):
        self.texts.append(text)
        self.news.set()
        self.news = asyncio.Event()

    async def wait(self, after, seconds):
        try:
            async with asyncio.timeout(seconds):
                while not self.texts[after:]:
                    await self.news.wait()
        except TimeoutError:
            pass
        return self.texts[after:]


class right_set_and_clear:
    def __init__(self):
        self.kept = ()
        self.event = asyncio.Event()

    def publish(self, text):
        self.kept += (text,)
        self.event.set()
        self.event.clear()

    async def wait(self, after, seconds):
        if len(self.kept) == after:
            try:
                async with asyncio.timeout(seconds):
                    await self.event.wait()
            except TimeoutError:
                return []
        return list(self.kept[after:])


class right_wait_for:
    def __init__(self):
        self.texts, self.news = [], asyncio.Event()

    def publish(self, text):
        self.texts.append(text)
        woken, self.news = self.news, asyncio.Event()
        woken.set()

    async def wait(self, after, seconds):
        if len(self.texts) <= after:
            try:
                await asyncio.wait_for(self.news.wait(), seconds)
            except TimeoutError:
                return []
        return self.texts[after:]


class right_condition:
    def __init__(self):
        self.texts, self.condition, self.tasks = [], asyncio.Condition(), set()

    def publish(self, text):
        self.texts.append(text)
        task = asyncio.create_task(self.notify())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def notify(self):
        async with self.condition:
            self.condition.notify_all()

    async def wait(self, after, seconds):
        async def news():
            async with self.condition:
                await self.condition.wait_for(lambda: len(self.texts) > after)

        try:
            await asyncio.wait_for(news(), seconds)
        except TimeoutError:
            return []
        return self.texts[after:]


class right_futures:
    def __init__(self):
        self.texts, self.waiting = [], set()

    def publish(self, text):
        self.texts.append(text)
        for future in self.waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, after, seconds):
        if not self.texts[after:]:
            future = asyncio.get_running_loop().create_future()
            self.waiting.add(future)
            try:
                await asyncio.wait({future}, timeout=seconds)
            finally:
                self.waiting.remove(future)
        return self.texts[after:]


class right_one_shared_future:
    def __init__(self):
        self.texts, self.next = [], None

    def publish(self, text):
        self.texts.append(text)
        if self.next is not None:
            self.next.set_result(text)
            self.next = None

    async def wait(self, after, seconds):
        if len(self.texts) > after:
            return self.texts[after:]
        self.next = self.next or asyncio.get_running_loop().create_future()
        await asyncio.wait([self.next], timeout=seconds)
        return self.texts[after:]


class right_queue_as_a_bell:
    def __init__(self):
        self.texts, self.bells = deque(), []

    def publish(self, text):
        self.texts.append(text)
        for bell in self.bells:
            bell.put_nowait(True)

    async def wait(self, after, seconds):
        bell = asyncio.Queue()
        self.bells.append(bell)
        try:
            while after >= len(self.texts):
                await asyncio.wait_for(bell.get(), seconds)
        except TimeoutError:
            pass
        finally:
            self.bells.remove(bell)
        return list(self.texts)[after:]


class right_timer:
    def __init__(self):
        self.texts, self.wake = [], {}

    def publish(self, text):
        self.texts.append(text)
        for event in self.wake.values():
            event.set()

    async def wait(self, after, seconds):
        if len(self.texts) > after:
            return self.texts[after:]
        event = asyncio.Event()
        key = object()
        self.wake[key] = event
        timer = asyncio.get_running_loop().call_later(seconds, event.set)
        try:
            await event.wait()
            return self.texts[after:]
        finally:
            timer.cancel()
            del self.wake[key]


class Kept:
    """What most of the wrong ones share."""

    def __init__(self):
        self.texts, self.news = [], asyncio.Event()

    def publish(self, text):
        self.texts.append(text)
        self.news.set()
        self.news = asyncio.Event()

    async def wait(self, after, seconds):
        if not self.texts[after:]:
            try:
                await asyncio.wait_for(self.news.wait(), seconds)
            except TimeoutError:
                return []
        return self.texts[after:]


class wrong_looks_now_and_then(Kept):
    async def wait(self, after, seconds):
        for _ in range(round(seconds / 0.1)):
            if self.texts[after:]:
                return self.texts[after:]
            await asyncio.sleep(0.1)
        return []


class wrong_looks_now_and_then__often(Kept):
    async def wait(self, after, seconds):
        end = asyncio.get_running_loop().time() + seconds
        while not self.texts[after:] and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.001)
        return self.texts[after:]


class wrong_sleeps_to_the_end(Kept):
    async def wait(self, after, seconds):
        if not self.texts[after:]:
            await asyncio.sleep(seconds)
        return self.texts[after:]


class wrong_spins(Kept):
    async def wait(self, after, seconds):
        async with asyncio.timeout(seconds):
            while not self.texts[after:]:
                await asyncio.sleep(0)
        return self.texts[after:]


class wrong_answers_empty_at_once(Kept):
    def publish(self, text):
        self.texts.append(text)
        self.news.set()


class wrong_answers_empty_at_once__cleared_by_the_reader(Kept):
    def publish(self, text):
        self.texts.append(text)
        self.news.set()

    async def wait(self, after, seconds):
        if not self.texts[after:]:
            try:
                await asyncio.wait_for(self.news.wait(), seconds)
                self.news.clear()
            except TimeoutError:
                return []
        return self.texts[after:]


class wrong_loses_a_wake_up(Kept):
    def publish(self, text):
        self.texts.append(text)
        self.news.set()

    async def wait(self, after, seconds):
        if self.texts[after:]:
            return self.texts[after:]
        await asyncio.sleep(0)
        self.news.clear()
        try:
            await asyncio.wait_for(self.news.wait(), seconds)
        except TimeoutError:
            return []
        return self.texts[after:]


class wrong_loses_a_wake_up__behind_a_lock(Kept):
    def __init__(self):
        super().__init__()
        self.lock = asyncio.Lock()

    async def wait(self, after, seconds):
        if self.texts[after:]:
            return self.texts[after:]
        async with self.lock:
            await asyncio.sleep(0)  # a look into the database, say
        try:
            await asyncio.wait_for(self.news.wait(), seconds)
        except TimeoutError:
            return []
        return self.texts[after:]


class wrong_does_not_wake_everybody(Kept):
    def publish(self, text):
        self.texts.append(text)
        if getattr(self, "waiter", None) and not self.waiter.done():
            self.waiter.set_result(None)

    async def wait(self, after, seconds):
        if not self.texts[after:]:
            self.waiter = asyncio.get_running_loop().create_future()
            await asyncio.wait({self.waiter}, timeout=seconds)
        return self.texts[after:]


class wrong_does_not_wake_everybody__one_queue(Kept):
    def __init__(self):
        self.texts, self.queue = [], asyncio.Queue()

    def publish(self, text):
        self.texts.append(text)
        self.queue.put_nowait(text)

    async def wait(self, after, seconds):
        while not self.texts[after:]:
            try:
                await asyncio.wait_for(self.queue.get(), seconds)
            except TimeoutError:
                return []
        return self.texts[after:]


class wrong_splits_the_burst(Kept):
    def __init__(self):
        self.texts, self.waiting = [], []

    def publish(self, text):
        self.texts.append(text)
        for future in self.waiting:
            future.set_result([text])
        self.waiting = []

    async def wait(self, after, seconds):
        if self.texts[after:]:
            return self.texts[after:]
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        try:
            return await asyncio.wait_for(future, seconds)
        except TimeoutError:
            self.waiting.remove(future)
            return []


class wrong_only_the_newest(Kept):
    async def wait(self, after, seconds):
        if not self.texts[after:]:
            try:
                await asyncio.wait_for(self.news.wait(), seconds)
            except TimeoutError:
                return []
            return self.texts[-1:]
        return self.texts[after:]


class wrong_keeps_nothing:
    def __init__(self):
        self.queues = set()

    def publish(self, text):
        for queue in self.queues:
            queue.put_nowait(text)

    async def wait(self, after, seconds):
        queue = asyncio.Queue()
        self.queues.add(queue)
        try:
            texts = [await asyncio.wait_for(queue.get(), seconds)]
            while not queue.empty():
                texts.append(queue.get_nowait())
            return texts
        except TimeoutError:
            return []
        finally:
            self.queues.discard(queue)


class wrong_waits_though_there_is_news(Kept):
    async def wait(self, after, seconds):
        with suppress(TimeoutError):
            await asyncio.wait_for(self.news.wait(), seconds)
        return self.texts[after:]


class wrong_ignores_after(Kept):
    async def wait(self, after, seconds):
        if len(self.texts) <= after:
            try:
                await asyncio.wait_for(self.news.wait(), seconds)
            except TimeoutError:
                return []
        return list(self.texts)


class wrong_off_by_one(Kept):
    async def wait(self, after, seconds):
        if len(self.texts) <= after:
            try:
                await asyncio.wait_for(self.news.wait(), seconds)
            except TimeoutError:
                return []
        return self.texts[after + 1 if after else 0 :]


class wrong_repeats_old_texts(Kept):
    async def wait(self, after, seconds):
        if not self.texts[after:]:
            try:
                await asyncio.wait_for(self.news.wait(), seconds)
            except TimeoutError:
                return self.texts
        return self.texts[after:]


class wrong_time_out_is_an_error(Kept):
    async def wait(self, after, seconds):
        async with asyncio.timeout(seconds):
            while not self.texts[after:]:
                await self.news.wait()
        return self.texts[after:]


class wrong_not_a_list(Kept):
    async def wait(self, after, seconds):
        try:
            async with asyncio.timeout(seconds):
                while not self.texts[after:]:
                    await self.news.wait()
                return self.texts[after:]
        except TimeoutError:
            print("nothing")


class wrong_gives_up_early(Kept):
    async def wait(self, after, seconds):
        return await super().wait(after, seconds / 1000)


class wrong_gives_up_late(Kept):
    async def wait(self, after, seconds):
        return await super().wait(after, max(seconds, 25))


class wrong_never_gives_up(Kept):
    async def wait(self, after, seconds):
        while not self.texts[after:]:
            await self.news.wait()
        return self.texts[after:]


class wrong_misses_the_news(Kept):
    async def wait(self, after, seconds):
        new = self.texts[after:]
        if not new:
            try:
                await asyncio.wait_for(self.news.wait(), seconds)
            except TimeoutError:
                return []
        return new


class wrong_shared_by_all_boards(Kept):
    texts = []  # noqa: RUF012

    def __init__(self):
        self.news = asyncio.Event()


class wrong_shared_by_all_boards__the_event(Kept):
    news = asyncio.Event()

    def __init__(self):
        self.texts = []

    def publish(self, text):
        self.texts.append(text)
        self.news.set()
        self.news.clear()

    async def wait(self, after, seconds):
        if not self.texts[after:]:
            try:
                async with asyncio.timeout(seconds):
                    await self.news.wait()
            except TimeoutError:
                return []
        return self.texts[after:]


class wrong_hands_out_its_own_list(Kept):
    async def wait(self, after, seconds):
        if len(self.texts) <= after:
            try:
                await asyncio.wait_for(self.news.wait(), seconds)
            except TimeoutError:
                return []
        return self.texts[after:] if after else self.texts


class wrong_takes_the_others_along(Kept):
    def __init__(self):
        self.texts, self.next = [], asyncio.get_running_loop().create_future()

    def publish(self, text):
        self.texts.append(text)
        self.next.set_result(None)
        self.next = asyncio.get_running_loop().create_future()

    async def wait(self, after, seconds):
        if not self.texts[after:]:
            try:
                await asyncio.wait_for(self.next, seconds)
            except TimeoutError:
                return []
        return self.texts[after:]


class wrong_trips_over_the_vanished(Kept):
    def __init__(self):
        self.texts, self.waiting = [], deque(maxlen=1000)

    def publish(self, text):
        self.texts.append(text)
        while self.waiting:
            self.waiting.popleft().set_result(None)

    async def wait(self, after, seconds):
        if self.texts[after:]:
            return self.texts[after:]
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        try:
            await asyncio.wait_for(future, seconds)
        except TimeoutError:
            self.waiting.remove(future)
        return self.texts[after:]


class wrong_keeps_the_vanished(Kept):
    def __init__(self):
        self.texts, self.waiting = [], []

    def publish(self, text):
        self.texts.append(text)
        for future in self.waiting:
            if not future.done():
                future.set_result(None)
        self.waiting.clear()

    async def wait(self, after, seconds):
        if not self.texts[after:]:
            future = asyncio.get_running_loop().create_future()
            self.waiting.append(future)
            try:
                await asyncio.wait_for(future, seconds)
            except TimeoutError:
                return []
        return self.texts[after:]


class wrong_leaves_tasks(Kept):
    async def wait(self, after, seconds):
        if not self.texts[after:]:
            news = asyncio.create_task(self.news.wait())
            done, _ = await asyncio.wait({news}, timeout=seconds)
            if not done:
                return []
        return self.texts[after:]


class wrong_leaves_tasks__of_those_who_left(Kept):
    async def wait(self, after, seconds):
        if not self.texts[after:]:
            news = asyncio.create_task(self.news.wait())
            done, _ = await asyncio.wait({news}, timeout=seconds)
            if not done:
                news.cancel()
                return []
        return self.texts[after:]


class wrong_publish_is_async(Kept):
    async def publish(self, text):
        super().publish(text)


class wrong_wait_is_not_async(Kept):
    def wait(self, after, seconds):
        return self.texts[after:]


class wrong_lacks_a_method(Kept):
    wait = None


class wrong_forgets_await(Kept):
    async def wait(self, after, seconds):
        if not self.texts[after:]:
            self.news.wait()
        return self.texts[after:]
