"""The control loops: they read what should be and what is, and write what brings them together.

Each controller is a pure plan over frozen objects (`Plan`) and a table of which change concerns which key; `runtime`
is the only part that waits, commits or logs. The one rule: level-based. A change only names a key; the plan reads the
whole truth, so that a restart, a missed change or a conflict costs nothing but another look.
"""
