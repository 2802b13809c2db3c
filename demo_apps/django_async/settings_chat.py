"""What a chat over Channels adds to ``settings_api`` when there is more than one worker."""

from __future__ import annotations

import os

from demo_apps.django_async.settings_api import *  # noqa: F403

# Workers share no memory, so what one member says reaches the others by way of Redis.
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [os.environ.get("REDIS_URL", "redis://localhost:6379")]},
    }
}
