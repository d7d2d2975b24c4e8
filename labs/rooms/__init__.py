"""Rooms on one server (notebook 05), from what a client may say to the bytes on its connection.

    codec        what clients say: JSON, checked before anything is done with it
    registry     who is in which room, and who is told what; without I/O
    accounts     who may say who they are: secrets, and tickets for pages
    outbox       one message on its way to many sockets: joined, written at once, bounded for each reader
    lobby        the server without its sockets: who is let in, and what is done with what they say
    engines      who carries its connections: the `websockets` library, or …
    raw_engine   … the course's own codec on an asyncio.Protocol
    operations   what those who run it need: metrics, a log, TLS, options

`labs.bus` joins the rooms of several servers.
"""
