"""All about one Envoy: its bootstrap, its command line, its admin interface, its restarts, and when it is idle.

Everything but `admin` is pure: whoever runs the process (the node agent) asks here what to do.
"""
