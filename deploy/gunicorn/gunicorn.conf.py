"""gunicorn for production: ``gunicorn --config deploy/gunicorn/gunicorn.conf.py …``.

In the folder that gunicorn starts in, a file of this name is read without being asked for.
Where to listen is not said here: systemd passes the socket in, a container names it in its CMD.
"""

import os

# Slots = workers × threads: here for 60 requests a second that hold one for 120 ms on average, on
# two cores. The form of "Which should you use?" names them for your load. A thread costs little
# and helps views that wait; a worker costs the memory of the whole project and helps views that
# compute. In a container, say the number: a count of the cores sees the host's, not its share.
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_class = "gthread"
threads = 8

# With threads, this is no limit for a request: a worker that has not said for so long that it
# lives is killed. With the sync worker it is one, and cuts a view that computes for longer.
timeout = 30

# After SIGTERM, requests that are being answered have this long to end. Whoever stops gunicorn
# (systemd, Docker) must wait longer, or it kills what was to be saved.
graceful_timeout = 30

# Longer than a proxy in front keeps an idle connection (nginx 60 s, where it keeps them at all):
# whoever closes first must be the proxy, or a request can meet a closed door.
keepalive = 75

# No max_requests: a worker that has reached it takes no more requests, and is replaced only when
# its last answer has ended, so an open stream can stop the site for graceful_timeout + timeout.
# Against leaks, let a timer reload gunicorn: SIGHUP starts the new workers first.

# Connections of one worker, threads and idle ones together. Each is an open file, and so is each
# file that a view opens: LimitNOFILE of the unit, ulimits of the container, must be higher.
worker_connections = 1000

# The heartbeat file in memory: on a slow disk a heartbeat can come late, and kill a worker.
worker_tmp_dir = "/dev/shm"  # noqa: S108

# The control socket would need a home folder, which a service's user has not.
control_socket_disable = True

# Whose request, how it ended, and for how long it held its slot (%(M)s, milliseconds). The address
# is what nginx says; over a unix socket gunicorn itself knows none.
accesslog = "-"
access_log_format = '%({x-forwarded-for}i)s %(t)s "%(r)s" %(s)s %(b)s %(M)s ms'
errorlog = "-"
