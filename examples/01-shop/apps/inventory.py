"""GET /items lists what there is. POST /fail?on=1 makes this one copy answer 500 from then on, POST /fail?on=0 ends it."""

import threading

from serving import http_server, me, serve, take_time

FAILING = threading.Event()


def items(query):
    take_time(query)
    if FAILING.is_set():
        return 500, {**me(), "error": "told to fail by POST /fail?on=1"}
    return 200, {**me(), "items": ["apples", "pears"]}


def fail(query):
    if query.get("on", "1") == "1":
        FAILING.set()
    else:
        FAILING.clear()
    return 200, {**me(), "failing": FAILING.is_set()}


serve(http_server(80, {"GET /items": items, "POST /fail": fail, "GET /health": lambda _: (200, me())}))
