"""The xDS protocol as a library: no sockets, no clock, no threads; bytes in, actions out.

Read `watch.py` for the idea and `session.py` for the flow. Below them, `resources.py`, `bundle.py` and `composite.py` say
what is served, `subscription.py` and `group.py` what is asked for and shared, `catalog.py` whom a change concerns. Above
them, `sotw.py` and `delta.py` hold the rules of the two variants, `order.py` those across types. A module imports only
what stands below it (the contract `xds-layers`).
"""
