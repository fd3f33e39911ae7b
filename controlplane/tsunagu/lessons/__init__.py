"""Lessons in xDS that run: ten of them, on real Envoys, in a terminal, in front of a class, or by themselves in CI.

The one rule: a lesson says nothing that it does not show. Each of its claims is asserted over the messages of the run.
"""
