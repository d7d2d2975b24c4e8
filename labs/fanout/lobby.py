"""The rooms server on the library and on the course's own frames: what a delivered message costs, and an idle member."""

import psutil

from labs.fanout.cost import Point, point
from labs.fanout.crowd import KEY, Crowd, apart, crowd_in
from labs.frames import Opcode, encode
from labs.launch import launch
from labs.measure import progress

WARM_UP = 50  # members before the first is counted: what the server needs once, it has by then
TEXT = b'{"type":"message","room":"lobby","text":"%s"}'


class Lobby(Crowd):
    """Members of one room of the rooms server. All have one name, so nobody is told of anybody; presence is no message."""

    path = "/rooms?name=guest"
    greeting = encode(Opcode.TEXT, b'{"type":"join","room":"lobby"}', key=KEY)
    welcome = b'{"type":"joined"'
    counted = b'{"type":"message"'


async def engines(
    members: int = 500, in_flight=(1, 16), *, seconds: float = 0.3
) -> tuple[list[Point], dict[str, float]]:
    """Both engines with one room of so many: points whose `way` is the engine, and bytes of memory for each idle member.

    About six seconds. The memory is the growth of the server's resident set; the kernel's own is not in it.
    """
    points, memory = [], {}
    for engine in progress(("websockets", "raw"), "engines"):
        found, memory[engine] = await apart(_engine(engine, members, in_flight, seconds))
        points += found
    return points, memory


async def _engine(engine: str, members: int, in_flight, seconds: float) -> tuple[list[Point], float]:
    async with launch("rooms", "--engine", engine, "--rate", "0") as server, crowd_in(server, Lobby) as crowd:
        process = psutil.Process((await server.usage())["pid"])
        await crowd.grow(WARM_UP)
        before = process.memory_info().rss
        await crowd.grow(members)
        each = (process.memory_info().rss - before) / (members - WARM_UP)
        return [await point(engine, server, crowd, flight, seconds, TEXT % (b"x" * 80)) for flight in in_flight], each
