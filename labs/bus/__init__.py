"""One conversation over many servers, through Redis (notebook 06).

The bus, and what it is made of:
    pubsub          over Pub/Sub: messages can be lost, and then there is a gap
    streams         over Streams: nothing is lost while it is kept
    sharded         over Pub/Sub of a Redis Cluster
    redis_lines     connections that come back by themselves, and what is said over them in order
    redis_process   a Redis of our own, or a cluster, to start, kill and start again

The rooms of `labs.rooms` on top of it:
    shared_rooms    rooms of which some members are on other servers
    shared_lobby    a lobby that publishes what its members say
    presence        who is there, on all servers

Experiments:
    delivery        the ladder: what is lost, doubled and reordered, predicted and counted
    cluster_loss    a cluster loses a primary

Other work that Redis does:
    shared_memory   presence with expiry, a counter, a rate limit
    work_queue      tasks that a killed worker does not lose
"""
