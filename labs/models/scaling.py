"""More servers: what one room costs when its members are spread over several."""


def with_servers_us(alone_us: float, price_us: float, servers: int) -> float:
    """The CPU time of one message over so many servers, all of them together, in microseconds.

    One server alone needs `alone_us`, most of which is the deliveries, and these stay the same. Each further one costs
    `price_us`, because it has to hear the message before it can deliver it. For Redis, the price is that of one more write.
    """
    return alone_us + price_us * (servers - 1)
