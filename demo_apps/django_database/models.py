"""One model, on a view that every PostgreSQL has: there is no table to create."""

# Django has no type hints, so its base classes are Any to the checker.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Func, IntegerField, TextField, Value


class PgBackendPid(Func):
    """``pg_backend_pid()``: the server process behind the connection that asks."""

    function = "pg_backend_pid"
    output_field = IntegerField()


class PgSleep(Func):
    """``pg_sleep(seconds)``: the database takes its time; as text, because it returns nothing."""

    function = "pg_sleep"
    template = "%(function)s(%(expressions)s)::text"
    output_field = TextField()


class Backend(models.Model):
    """A connection as the database sees it: a row of ``pg_stat_activity``."""

    pid = models.IntegerField(primary_key=True)
    state = models.TextField()
    backend_type = models.TextField()
    query_start = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "pg_stat_activity"

    objects: ClassVar[Any]

    @classmethod
    def mine(cls, seconds: float) -> Any:
        """The row of the connection that asks, after the database has slept.

        Its ``query_start`` is then the moment at which this very query came to the database.
        """
        return cls.objects.filter(pid=PgBackendPid()).annotate(slept=PgSleep(Value(seconds)))
