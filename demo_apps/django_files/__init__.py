"""A Django project that serves one large file, in the usual way and in one that fits ASGI."""
