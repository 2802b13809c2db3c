"""From load to numbers: reference servers, trials in blocks, rules about noise, readings.

May import all packages before it: `model`, `servers`, `guard`, `load`, `records`.
"""
