"""The control loops: they read what should be and what is, and write what brings them together.

Each controller is a pure function from the state to a `Plan`, and a function that names the keys that a change may
concern; `runtime` is the only part that waits, commits or logs. The one rule: controllers are level-based. A change only
names a key; the plan reads the whole state, so that a restart, a missed change or a conflict costs no more than another
reconciliation.
"""
