"""Exercise 6.2: `Relay(server_id, publish, deliver)`, each message once on every server, and everywhere in one order."""

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


class right_as_it_comes:
    def __init__(self, server_id, publish, deliver):
        self.server_id, self.publish, self.deliver = server_id, publish, deliver

    async def say(self, room, text):
        await self.publish(json.dumps({"from": self.server_id, "room": room, "text": text}))

    def received(self, payload):
        try:
            message = json.loads(payload)
            room, text = message["room"], message["text"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return
        if isinstance(room, str) and isinstance(text, str):
            self.deliver(room, text)


@dataclass
class right_matches_a_pattern:
    server_id: str
    publish: Any
    deliver: Any

    async def say(self, room, text):
        payload = {"text": text, "room": room, "from": self.server_id}
        await self.publish(json.dumps(payload, ensure_ascii=False, separators=(",", ":")))

    def received(self, payload):
        try:
            match json.loads(payload):
                case {"room": str(room), "text": str(text)}:
                    self.deliver(room, text)
        except (ValueError, RecursionError):
            pass


def right_two_closures(server_id, publish, deliver):
    class Made:
        @staticmethod
        def say(room, text):
            return publish(json.dumps({"from": server_id, "room": room, "text": text}))

        @staticmethod
        def received(payload):
            try:
                message = json.loads(payload)
            except Exception:
                message = None
            fields = message if isinstance(message, dict) else {}
            room, text = fields.get("room"), fields.get("text")
            if type(room) is type(text) is str:
                deliver(room, text)

    return Made


class wrong_told_twice(right_as_it_comes):
    async def say(self, room, text):
        self.deliver(room, text)
        await super().say(room, text)


class wrong_own_members_hear_nothing(right_as_it_comes):
    def received(self, payload):
        if self.server_id not in payload:
            super().received(payload)


class wrong_others_hear_nothing(right_as_it_comes):
    def received(self, payload):
        if self.server_id in payload:
            super().received(payload)


class wrong_others_hear_nothing__publishes_nothing(right_as_it_comes):
    async def say(self, room, text):
        self.deliver(room, text)


class wrong_orders_differ(right_as_it_comes):
    """What an origin is often used for: deliver at once, and skip what comes back."""

    async def say(self, room, text):
        self.deliver(room, text)
        await super().say(room, text)

    def received(self, payload):
        try:
            if json.loads(payload).get("from") == self.server_id:
                return
        except (ValueError, RecursionError, AttributeError):
            return
        super().received(payload)


class wrong_orders_differ__when_it_has_been_published(wrong_orders_differ):
    async def say(self, room, text):
        await right_as_it_comes.say(self, room, text)
        self.deliver(room, text)


class wrong_drops_repeats(right_as_it_comes):
    def __init__(self, server_id, publish, deliver):
        super().__init__(server_id, publish, deliver)
        self.known = set()

    async def say(self, room, text):
        await super().say(room, text)

    def received(self, payload):
        if payload not in self.known:
            self.known.add(payload)
            super().received(payload)


class wrong_mangles_text(right_as_it_comes):
    async def say(self, room, text):
        await self.publish(f'{{"from": "{self.server_id}", "room": "{room}", "text": "{text}"}}')


class wrong_mangles_text__empty(right_as_it_comes):
    def received(self, payload):
        try:
            message = json.loads(payload)
            room, text = message["room"], message["text"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return
        if room and text and isinstance(room, str) and isinstance(text, str):
            self.deliver(room, text)


class wrong_another_format(right_as_it_comes):
    async def say(self, room, text):
        await self.publish(json.dumps({"room": room, "text": text}))


class wrong_another_format__a_list(right_as_it_comes):
    async def say(self, room, text):
        await self.publish(json.dumps([self.server_id, room, text]))

    def received(self, payload):
        _, room, text = json.loads(payload)
        self.deliver(room, text)


class wrong_not_text(right_as_it_comes):
    async def say(self, room, text):
        await self.publish({"from": self.server_id, "room": room, "text": text})


class wrong_needs_from(right_as_it_comes):
    def received(self, payload):
        try:
            if json.loads(payload)["from"]:
                super().received(payload)
        except (ValueError, TypeError, KeyError, RecursionError):
            return


class wrong_received_is_async(right_as_it_comes):
    async def received(self, payload):
        super().received(payload)


class Trusting(right_as_it_comes):
    def received(self, payload):
        message = json.loads(payload)
        self.deliver(message["room"], message["text"])


class wrong_dies_of_nothing(Trusting):
    pass


class wrong_dies_of_a_list(Trusting):
    def received(self, payload):
        try:
            message = json.loads(payload)
        except (ValueError, RecursionError):
            return
        if "room" in message and "text" in message:
            self.deliver(message["room"], message["text"])


class wrong_dies_of_a_number(Trusting):
    def received(self, payload):
        try:
            message = json.loads(payload)
        except (ValueError, RecursionError):
            return
        if not isinstance(message, (list, str)):
            self.deliver(message["room"], message["text"])


class wrong_dies_of_no_text(Trusting):
    def received(self, payload):
        try:
            message = json.loads(payload)
        except (ValueError, RecursionError):
            return
        if isinstance(message, dict) and message:
            self.deliver(message["room"], message["text"])


class wrong_delivers_no_text(Trusting):
    def received(self, payload):
        try:
            message = json.loads(payload)
        except (ValueError, RecursionError):
            return
        if isinstance(message, dict) and message.get("room"):
            self.deliver(message["room"], message.get("text"))


class wrong_delivers_an_odd_room(Trusting):
    def received(self, payload):
        with suppress(ValueError, RecursionError, KeyError, TypeError):
            super().received(payload)


class wrong_dies_of_deep_json(right_as_it_comes):
    def received(self, payload):
        try:
            message = json.loads(payload)
            room, text = message["room"], message["text"]
        except (ValueError, TypeError, KeyError):
            return
        if isinstance(room, str) and isinstance(text, str):
            self.deliver(room, text)


class wrong_swallows_the_failure(right_as_it_comes):
    async def say(self, room, text):
        with suppress(ConnectionError):
            await super().say(room, text)


class wrong_delivers_what_failed(right_as_it_comes):
    async def say(self, room, text):
        try:
            await super().say(room, text)
        except ConnectionError:
            self.deliver(room, text)
            raise


class wrong_tries_again(right_as_it_comes):
    async def say(self, room, text):
        try:
            await super().say(room, text)
        except ConnectionError:
            await asyncio.sleep(1)
            await super().say(room, text)


class wrong_forgets_await(right_as_it_comes):
    async def say(self, room, text):
        self.publish(json.dumps({"from": self.server_id, "room": room, "text": text}))
