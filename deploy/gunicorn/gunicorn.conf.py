"""gunicorn for production: ``gunicorn --config deploy/gunicorn/gunicorn.conf.py …``.

Where to listen is not said here: systemd passes the socket in, a container names it in its CMD.
"""

import os

# Slots = workers × threads. A thread costs little and helps views that wait; a worker costs the
# memory of the whole project and helps views that compute. In a container, say the number: a
# count of the cores sees the host's, not the container's share.
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_class = "gthread"
threads = 8

# With threads, this is no limit for a request: a worker that has not said for so long that it
# lives is killed.
timeout = 30

# After SIGTERM, requests that are being answered have this long to end. Whoever stops gunicorn
# (systemd, Docker) must wait longer, or it kills what was to be saved.
graceful_timeout = 30

# nginx, from 1.30 on, keeps its connections open; gunicorn should not close them first.
keepalive = 75

# A new process now and then, against leaks; the jitter keeps workers from restarting together.
max_requests = 10_000
max_requests_jitter = 1_000

# The heartbeat file in memory: on a slow disk a heartbeat can come late, and kill a worker.
worker_tmp_dir = "/dev/shm"  # noqa: S108

# The control socket would need a home folder, which a service's user has not.
control_socket_disable = True

accesslog = "-"
errorlog = "-"
