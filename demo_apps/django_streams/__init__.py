"""What a view leaves behind or sends bit by bit: streams, background tasks and a job queue.

Settings of their own on top of ``demo_apps.django_app``, whose paths stay as they are.
"""
