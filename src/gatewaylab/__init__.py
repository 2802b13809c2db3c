"""Measure WSGI and ASGI servers with open-loop load, and publish what was seen."""

__version__ = "0.1.0"
