"""Node's `ws` (where that npm package is installed), or the WebSocket that Node 22 and later have, talks to both servers."""

import asyncio
import json
import shutil
import subprocess

import pytest
from transports import SOCKETS

from labs.launch import launch

NODE = shutil.which("node")
FIND = "process.exit(typeof WebSocket !== 'undefined' || require.resolve('ws') ? 0 : 1)"
if not NODE or subprocess.run([NODE, "-e", FIND], capture_output=True).returncode:
    pytest.skip("node has no WebSocket, and finds no package `ws`", allow_module_level=True)

SCRIPT = """
let Socket = globalThis.WebSocket;
try { Socket = require("ws"); } catch {}
const say = line => process.stdout.write(JSON.stringify(line) + "\\n");
const socket = new Socket(process.argv[1]);
socket.binaryType = "arraybuffer";
const messages = ["hello", new Uint8Array([0, 255]), "é".repeat(40000)];
socket.onopen = () => socket.send(messages.shift());
socket.onmessage = ({ data }) => {
  say(typeof data === "string" ? data : [...new Uint8Array(data)]);
  messages.length ? socket.send(messages.shift()) : socket.close(4000, "enough");
};
socket.onclose = ({ code, wasClean }) => { say([code, wasClean]); process.exit(0); };
"""


@pytest.mark.parametrize("name", SOCKETS)
async def test_every_message_comes_back_with_its_type_and_the_close_is_clean(name):
    async with launch(name) as server:
        process = await asyncio.create_subprocess_exec(NODE, "-e", SCRIPT, f"{server.ws}/echo", stdout=subprocess.PIPE)
        async with asyncio.timeout(30):
            said, _ = await process.communicate()
        assert [json.loads(line) for line in said.splitlines()] == ["hello", [0, 255], "é" * 40_000, [4000, True]]
