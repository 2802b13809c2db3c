"""Other load tools: how each is run, what it reports, and how that compares with the truth.

May import what `truth` may.
"""
