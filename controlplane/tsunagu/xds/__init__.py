"""The xDS protocol as a library: no sockets, no clock, no threads; bytes in, actions out.

Read `session.py` first. `resources.py` and `bundle.py` say what is served, `subscription.py` who asked for what,
`sotw.py` and `delta.py` hold the rules of the two variants, `order.py` those across types.
"""
