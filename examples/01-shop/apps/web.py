"""The shop's front: GET / asks `orders`, and tells which copies took part."""

from serving import Unavailable, get, http_server, me, serve


def front(query):
    try:
        return 200, {**me(), "orders": get("orders", f"/orders?ms={int(query.get('ms', '0'))}")}
    except Unavailable as error:
        return 502, {**me(), "error": str(error)}


serve(http_server(80, {"GET /": front, "GET /health": lambda _: (200, me())}))
