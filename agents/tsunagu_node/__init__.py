"""Runs the tasks of one machine: their namespaces, their processes, their proxies, and their way from start to stop."""
