"""What can be run, and how: each server's command, its interface, its slots, its front.

Nothing is started here. May import: `errors`, `model`.
"""
