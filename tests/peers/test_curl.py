"""curl, which everybody has, talks to every HTTP transport."""

import asyncio
import json
import shutil

import pytest

from labs.launch import launch

CURL = shutil.which("curl")
pytestmark = pytest.mark.skipif(CURL is None, reason="no curl on PATH")


async def curl(*arguments: str) -> str:
    """What curl prints."""
    process = await asyncio.create_subprocess_exec(
        CURL, "--silent", "--show-error", "--max-time", "20", *arguments, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return said.decode()


async def texts(*arguments: str) -> list[str]:
    """The data of the events in the JSON array that curl prints."""
    return [event["data"] for event in json.loads(await curl(*arguments))]


async def publish(url: str, text: str) -> str:
    """Publish with curl; the new event's cursor."""
    return json.loads(await curl("--data-binary", text, f"{url}/events"))["cursor"]


async def status(*arguments: str) -> str:
    return (await curl("--output", "-", "--write-out", "\n%{http_code}", *arguments)).rpartition("\n")[2]


async def test_polling():
    async with launch("http_polling") as server:
        cursor = await publish(server.url, "née")
        await publish(server.url, "two\nlines")
        assert await texts(f"{server.url}/events") == ["née", "two\nlines"]
        assert await texts(f"{server.url}/events?after={cursor}") == ["two\nlines"]
        assert await status(f"{server.url}/events?after=x") == "400"
        assert await status(f"{server.url}/events?after=00000000-1") == "410"


async def test_long_polling():
    async with launch("long_polling") as server:
        cursor = await publish(server.url, "one")
        parked = asyncio.create_task(texts(f"{server.url}/events?after={cursor}"))
        await asyncio.sleep(0.3)
        assert not parked.done()
        cursor = await publish(server.url, "two")
        assert await parked == ["two"]
        assert await texts(f"{server.url}/events?after={cursor}&wait=0.1") == []
        assert await status(f"{server.url}/events?after=x") == "400"
        assert await status(f"{server.url}/events?after=00000000-1") == "410"


async def test_sse():
    async with launch("sse", "--heartbeat", "0.5") as server:
        cursor = await publish(server.url, "one")
        second = await publish(server.url, "two\nlines")
        headers = ("--header", f"Last-Event-ID: {cursor}")
        arguments = ("--silent", "--no-buffer", *headers, f"{server.url}/events")
        process = await asyncio.create_subprocess_exec(CURL, *arguments, stdout=asyncio.subprocess.PIPE)
        lines = [(await process.stdout.readline()).decode() for _ in range(5)]
        assert lines[0] == "retry: 1000\n"
        assert lines[1] == f"id: {second}\n"
        assert json.loads(lines[2].removeprefix("data: "))["data"] == "two\nlines"
        assert lines[3:] == ["\n", ":\n"]
        process.terminate()
        await process.communicate()
        assert await status(f"{server.url}/events?after=x") == "400"
        assert await status("--head", f"{server.url}/events") == "405"


async def test_sse_ends_without_an_error_when_the_server_stops():
    async with launch("sse") as server:
        process = await asyncio.create_subprocess_exec(
            CURL, "--silent", "--show-error", "--no-buffer", f"{server.origin}/events", stdout=asyncio.subprocess.PIPE
        )
        assert await process.stdout.readline() == b"retry: 1000\n"
        server.host.popen.terminate()
        assert await process.stdout.read() == b""
        assert await process.wait() == 0
