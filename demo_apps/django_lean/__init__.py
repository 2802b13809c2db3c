"""The views of the Django project without REST framework and Channels, for trials that are timed.

A trial starts its server afresh, and most of a start is import. The views and the middleware are
the project's own; what is missing no timed request would touch.
"""
