"""Figures and tables of what was measured.

May import all packages before it: `model` … `truth`.
"""
