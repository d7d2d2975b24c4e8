"""Node's EventSource (the npm package `eventsource`, where it is installed) reads our server through cuts and a restart."""

import asyncio
import json
import shutil
import subprocess

import pytest

from labs.launch import launch

NODE = shutil.which("node")
if not NODE or subprocess.run([NODE, "-e", "require.resolve('eventsource')"], capture_output=True).returncode:
    pytest.skip("node finds no package `eventsource`", allow_module_level=True)

SCRIPT = """
const found = require("eventsource"), EventSource = found.EventSource ?? found;
const source = new EventSource(process.argv[1]);
const say = line => process.stdout.write(JSON.stringify(line) + "\\n");
source.addEventListener("open", () => say("open"));
source.addEventListener("message", e => say(JSON.parse(e.data).data));
source.addEventListener("reset", e => say("reset: " + e.data));
"""


async def test_misses_nothing_through_cuts_and_is_told_of_a_restart():
    async with launch("sse", "--retry", "0.05") as server:
        command = (NODE, "-e", SCRIPT, f"{server.url}/events")
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        try:
            await read_through_cuts_and_a_restart(server, process)
        finally:
            process.terminate()
            await process.wait()


async def read_through_cuts_and_a_restart(server, process):
    seen = []

    async def see(last: str):
        while not seen or seen[-1] != last:
            seen.append(json.loads(await process.stdout.readline()))

    await see("open")
    for n in range(30):
        await server.publish(str(n))
        if n % 10 == 5:
            await see(str(n))
            server.link.cut()
            await see("open")
    await see("29")
    assert [line for line in seen if line != "open"] == [str(n) for n in range(30)]
    await server.restart()
    await see(told := "reset: this cursor is from before the server restarted")
    await server.publish("new")
    await see("new")
    assert [line for line in seen if line != "open"][30:] == [told, "new"]
