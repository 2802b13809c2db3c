"""From numbers to verdicts: what is claimed, by which rule it is decided, and its sabotage.

May import all packages before it: `model` … `measure`.
"""
