"""The book: executing notebooks, accepting what they saw, rendering, and rehearsing it all.

May import everything. Nothing outside imports it, but the command line.
"""
