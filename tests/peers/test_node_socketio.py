"""Socket.IO's own client (the npm package `socket.io-client`, where it is installed) reads ours through cuts and a restart."""

import asyncio
import json
import shutil
import subprocess

import pytest

from labs.launch import launch

NODE = shutil.which("node")
if not NODE or subprocess.run([NODE, "-e", "require.resolve('socket.io-client')"], capture_output=True).returncode:
    pytest.skip("node finds no package `socket.io-client`", allow_module_level=True)

SCRIPT = """
const { io } = require("socket.io-client");
let cursor = null;
const say = (...line) => process.stdout.write(JSON.stringify(line) + "\\n");
const settings = { auth: done => done(cursor ? { after: cursor } : {}), reconnectionDelay: 20, reconnectionDelayMax: 50 };
const socket = io(process.argv[1], { ...settings, ...JSON.parse(process.argv[2]) });
socket.on("connect", () => say("connect"));
socket.on("event", event => { cursor = event.cursor, say("event", event.data); });
socket.on("connect_error", error => {
  if (!error.data) return;  // the server is away
  say("refused", error.data.code), cursor = null, socket.connect();
});
process.stdin.on("data", text => socket.emit("publish", String(text), event => say("acknowledged", event.data)));
"""


@pytest.mark.parametrize("settings", [{"transports": ["websocket"]}, {}, {"transports": ["polling"]}])
async def test_misses_nothing_through_cuts_and_is_told_of_a_restart(settings):
    async with launch("socketio_feed", "--ping-interval", "1", "--ping-timeout", "1") as server:
        command = (NODE, "-e", SCRIPT, server.url, json.dumps(settings))
        pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
        process = await asyncio.create_subprocess_exec(*command, **pipes)
        try:
            async with asyncio.timeout(30):
                await read_through_cuts_and_a_restart(server, process)
        finally:
            process.terminate()
            await process.wait()
        assert server.log == []


async def read_through_cuts_and_a_restart(server, process):
    seen = []

    async def see(*line: str | int):
        while not seen or seen[-1] != line:
            seen.append(tuple(json.loads(await process.stdout.readline())))

    def events() -> list[str]:
        return [text for what, text in (line for line in seen if len(line) == 2) if what == "event"]

    await see("connect")
    for n in range(30):
        await server.publish(str(n))
        if n % 10 == 5:
            await see("event", str(n))
            server.link.cut()  # a polling client may be between two connections, and not notice
    await see("event", "29")
    assert events() == [str(n) for n in range(30)]
    process.stdin.write("é".encode())
    await see("acknowledged", "é")  # in which order the event and its acknowledgment come is not said
    await server.restart()
    await see("refused", 410)
    await server.publish("new")
    await see("event", "new")
    assert events()[30:] == ["é", "new"]
