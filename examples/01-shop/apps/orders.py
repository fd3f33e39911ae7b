"""GET /orders asks `inventory` over HTTP and `stock` over plain TCP.

It calls stock:3306 and listens on 0.0.0.0:3306 itself, as it calls inventory:80 and listens on port 80: in a mesh that
gives each name an address of its own, no app ever finds its port taken.
"""

from serving import Unavailable, ask, get, http_server, line_server, me, serve, take_time


def orders(query):
    take_time(query)
    try:
        inventory = get("inventory", "/items")
        stock = ask("stock", 3306, "GET apples")
    except Unavailable as error:
        return 502, {**me(), "error": str(error)}
    return 200, {**me(), "inventory": inventory, "stock": stock}


def cache(line):
    return f"{line.removeprefix('GET ')} cached at {me()['task']}"


serve(
    http_server(80, {"GET /orders": orders, "GET /health": lambda _: (200, me())}),
    line_server(3306, cache),
)
