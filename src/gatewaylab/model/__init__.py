"""Arithmetic on plans and numbers: arrivals, queues, intervals, quantiles. No clock, no files.

May import: `errors`.
"""
