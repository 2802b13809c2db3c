"""Processes that outlive nobody: they are started, watched, recognised and ended here.

May import: `errors`, `timeline`, `model`, `servers`.
"""
