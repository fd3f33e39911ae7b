"""Calls `shop` some 50 times a second, and does not mind what it answers."""

import http.client
import time

while True:
    try:
        connection = http.client.HTTPConnection("shop", 80, timeout=5)
        while True:
            connection.request("GET", "/")
            connection.getresponse().read()
            time.sleep(0.02)
    except (OSError, http.client.HTTPException):
        time.sleep(0.5)
