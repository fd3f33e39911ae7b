"""Looks after one Envoy: its bootstrap, its command line, its admin interface, its restarts and when it is idle.

Everything but `admin` is pure: who runs the process (a task's init, under its node agent) asks here what to do.
"""
