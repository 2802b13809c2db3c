"""The instrument held against what is known exactly, against itself, and against other tools.

May import all packages before it: `model` … `claims`.
"""
