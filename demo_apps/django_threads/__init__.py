"""A Django project that counts what its process does: threads started, calls given to a pool."""
