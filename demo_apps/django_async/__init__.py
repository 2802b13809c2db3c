"""A second Django project beside ``django_app``: async views, DRF with adrf, and transactions."""
