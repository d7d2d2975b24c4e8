"""Exercise 7.3: `choices()`, a transport for each of six products, and the number that decides."""

from labs import models


def right_by_the_model():
    return {
        "score": ("sse", 200_000 * models.polling_requests_per_s(10_000)),
        "editor": ("websocket", 30 + models.pushed(60).mean),
        "game": ("datagrams", 30 * 0.200),
        "sensor": ("polling", 3600 / 20),
        "ticker": ("sse", models.pushed(40).mean),
        "chat": ("websocket", sum(models.frame(30, masked=True).values())),
    }


def right_without_sockets():
    return right_by_the_model() | {
        "editor": ("sse", 60),
        "ticker": ("long_polling", models.long_polling(rtt_ms=40, per_second=10).mean),
        "chat": ("sse", sum(models.publish_request("chat.example", 30 * "t").values())),
    }


def right_by_hand():
    return {
        "chat": ("websocket", 2 + 4 + 30),
        "ticker": ("long_polling", 27.5),
        "sensor": ["polling", 180],
        "game": ("datagrams", 6),
        "editor": ("websocket", 60.0),
        "score": ("websocket", 20_000),
    }


def but(**others):
    """Right answers with some that are not."""
    return lambda: right_by_the_model() | others


wrong_not_a_dict = lambda: tuple(right_by_the_model())  # noqa: E731
wrong_unknown_word = but(game=("WebRTC", 6))
wrong_unknown_name = but(football=("sse", 20_000))
wrong_not_a_pair = but(game="datagrams")
wrong_too_many_requests = but(score=("polling", 20_000))
wrong_all_ask_at_once = but(score=("long_polling", 20_000))
wrong_loses_what_counts = but(score=("datagrams", 20_000))
wrong_loses_what_counts__chat = but(chat=("datagrams", 36))
wrong_too_late = but(editor=("long_polling", 84))
wrong_too_late__ticker = but(ticker=("polling", 40))
wrong_stale = but(game=("websocket", 6))
wrong_keeps_the_radio_awake = but(sensor=("websocket", 180))
wrong_upgrade_refused = but(ticker=("websocket", 20))
wrong_only_http_passes = but(ticker=("datagrams", 20))
wrong_asks_again_for_each = but(chat=("long_polling", 135))
wrong_forgets_the_readers = but(score=("sse", models.polling_requests_per_s(10_000)))
wrong_polls_too_often = but(score=("sse", 200_000))
wrong_counts_one_way = but(editor=("websocket", models.pushed(60).mean))
wrong_counts_round_trips = but(editor=("websocket", 120))
wrong_counts_round_trips__ticker = but(ticker=("sse", 40))
wrong_forgets_the_lost_one = but(game=("datagrams", 5))
wrong_tells_the_share = but(game=("datagrams", 0.12))
wrong_counts_the_reports = but(sensor=("polling", 6))
wrong_forgets_the_mask = but(chat=("websocket", sum(models.frame(30).values())))
wrong_forgets_the_frame = but(chat=("websocket", 30))
wrong_wrong_unit = but(editor=("websocket", 0.060))
wrong_wrong_number_for_ticker = but(ticker=("long_polling", 20))
wrong_wrong_number_for_chat = but(chat=("sse", 36))


def wrong_one_is_missing():
    return {"score": ("sse", 20_000)}
