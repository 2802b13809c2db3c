"""The other end of the queue: ``python -m demo_apps.django_streams.worker``, without Django.

It knows neither the web server nor its interface, and ends when Redis does.
"""

from __future__ import annotations

import os

import redis

QUEUE = "jobs"


def work(store: redis.Redis) -> None:
    """Take jobs out of the queue and do them, until Redis is gone."""
    try:
        # Blocks until there is a job; each is given to one worker only.
        while taken := store.blpop([QUEUE]):
            _, name = taken
            store.hset(name, mapping={"state": "done", "pid": os.getpid()})
    except redis.ConnectionError:
        return


if __name__ == "__main__":
    work(redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True))
