"""websocket-client, a client without asyncio that shares no code with our servers' library, as a client of both."""

import asyncio
import json
import threading

import pytest
import websocket  # websocket-client
from transports import SOCKETS

from labs.launch import launch


@pytest.mark.parametrize("name", SOCKETS)
async def test_talks_to_echo_and_events_and_hears_how_they_end(name):
    async with launch(name) as server:
        event = await server.publish("né")
        await asyncio.to_thread(talk, server.ws)
        await asyncio.to_thread(follow, server.ws, event)
        following = threading.Event()
        ending = asyncio.create_task(asyncio.to_thread(hear_the_end, server.ws, following))
        await asyncio.to_thread(following.wait, 20)
        await server.host.stop()
        assert await ending == (1001, "")
        server.origin = await server.host.start()


def talk(url: str):
    """All kinds of messages, and the closing handshake."""
    socket = websocket.create_connection(f"{url}/echo", timeout=20, http_no_proxy=["*"])
    for message in ("hello", "", "é" * 40_000):
        socket.send(message)
        assert socket.recv() == message
    socket.send_binary(b"\xff\0")
    assert socket.recv_data() == (websocket.ABNF.OPCODE_BINARY, b"\xff\0")
    for fin, opcode, data in ((0, 1, b"Hel"), (0, 0, b""), (1, 0, b"lo")):
        socket.send_frame(websocket.ABNF(fin, opcode=opcode, data=data))
    assert socket.recv() == "Hello"
    socket.ping("still there?")
    assert socket.recv_data(control_frame=True) == (websocket.ABNF.OPCODE_PONG, b"still there?")
    socket.send_close(4000, b"enough")
    opcode, data = socket.recv_data(control_frame=True)
    assert (opcode, data[:2]) == (websocket.ABNF.OPCODE_CLOSE, (4000).to_bytes(2, "big"))
    socket.shutdown()


def follow(url: str, event):
    """What was published is there; what this client sends is published, and comes back."""
    socket = websocket.create_connection(f"{url}/events", timeout=20, http_no_proxy=["*"])
    assert json.loads(socket.recv())["cursor"] == event.cursor
    socket.send("from a client")
    assert json.loads(socket.recv())["data"] == "from a client"
    socket.close()
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(f"{url}/events?after=x", timeout=20, http_no_proxy=["*"])
    assert refused.value.status_code == 400
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(f"{url}/echo", timeout=20, origin="http://evil.example", http_no_proxy=["*"])
    assert refused.value.status_code == 403


def hear_the_end(url: str, following: threading.Event) -> tuple[int, str]:
    """The close code and the reason, when the server stops."""
    socket = websocket.create_connection(f"{url}/events", timeout=20, http_no_proxy=["*"])
    following.set()
    while True:
        opcode, data = socket.recv_data(control_frame=True)
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            socket.shutdown()
            return int.from_bytes(data[:2], "big"), data[2:].decode()
