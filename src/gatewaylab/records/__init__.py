"""What was measured, as records: how it is written, checked and read back.

May import all packages before it: `model`, `servers`, `guard`, `load`.
"""
