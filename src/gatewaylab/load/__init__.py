"""Requests, and who sends them: the generator, its transports, and single clients.

May import: `errors`, `timeline`, `model`, `servers`, `guard`.
"""
