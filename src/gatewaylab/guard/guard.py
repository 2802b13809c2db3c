"""The guard: one small process per server, which no server outlives.

Started by `serve` as ``python -I -S guard.py`` with its orders as JSON on standard input.
It uses the standard library only, so that it is up in a few milliseconds.

Two halves. The *outer* one is the owner's child; it keeps the log and is the last to go. The
*inner* one starts the servers and is either init of a PID namespace of its own, so that the kernel
kills whatever is left when it exits, or, where no namespace can be made, a plain child. Both are
subreapers (nothing can be orphaned past them) and watch the same things: the lifeline (a pipe whose
other end the owner holds), the owner's pidfd, each other, and the time to live. When any of them
ends, the servers get SIGTERM, then a grace period, then SIGKILL until nothing is left. Either half
does this alone when the other is killed.

Simpler means lose servers: killpg at exit does not run after SIGKILL, PR_SET_PDEATHSIG reaches
masters but not their workers, and a single supervisor can be killed itself.
"""

# pathlib and contextlib would double the start-up time.
# ruff: noqa: PTH105,PTH108,PTH118,PTH119,PTH123,PTH208,SIM105,S606
from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing itself takes longer to import than all of the above
    from typing import Any, NoReturn

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x10000000, 0x20000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 0x4000, 0x40000
LOG_HALF = 512 * 1024
OUTER_PATIENCE = 0.7  # seconds that the outer half grants the inner one beyond the grace period
DESCRIPTORS = 65_536
STALE_CHECK = 0.25  # seconds between looks at the parent where the system has no pidfd
LINUX = sys.platform == "linux"


class Orders:
    """What the owner wants; see `owner.Guarded` for the writing side."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.run: str = values["run"]  # this run's identity, found in each process's environment
        self.owner: int = values["owner"]  # pid
        self.owner_started: int = values["owner_started"]  # /proc start time, in clock ticks
        self.lifeline: int = values["lifeline"]  # read end of a pipe
        self.status: int = values["status"]  # write end of a pipe
        self.leases: list[int] = values["leases"]  # held only: while open, the ports are taken
        self.folder: str = values["folder"]
        self.entry: str = values["entry"]  # the registry's file about this run
        self.commands: list[dict[str, Any]] = values[
            "commands"
        ]  # [{argv, env, cwd}], the server first
        self.deadline: float = time.monotonic() + values["ttl"]
        self.grace: float = values["grace"]
        self.pin: list[int] = values["pin"]
        self.namespace: bool = values["namespace"]
        for fd in (self.lifeline, self.status, *self.leases):
            os.set_inheritable(fd, False)  # a server that inherited them would keep them open


def tell(orders: Orders, **event: object) -> None:
    """One line of JSON to the owner, who may be gone."""
    try:
        os.write(orders.status, json.dumps(event).encode() + b"\n")
    except OSError:
        pass


def prctl(option: int, value: int) -> None:
    if LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def stat_fields(pid: int | str) -> tuple[str, int, int] | None:
    """State, parent and start time of a process; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields[0].decode(), int(fields[1]), int(fields[19])


def descendants(root: int) -> list[int]:
    """Every living process below `root`, from one pass over /proc."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if LINUX else ():
        if name.isdigit():
            fields = stat_fields(name)
            if fields and fields[0] not in "ZX":
                children.setdefault(fields[1], []).append(int(name))
    found: list[int] = []
    todo = [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        pass


def reap() -> tuple[list[tuple[int, int]], bool]:
    """Collect every child that has ended: [(pid, exit code)], and whether none is left."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended, True
        if pid == 0:
            return ended, False
        ended.append((pid, os.waitstatus_to_exitcode(status)))


def kill_all_descendants() -> None:
    """SIGKILL everything below until nothing is left; new forks are met on the next pass."""
    while True:
        for pid in descendants(os.getpid()):
            send(pid, signal.SIGKILL)
        if reap()[1]:
            return
        time.sleep(0.005)


class Watch:
    """The things whose end means that the servers must end, and the children's SIGCHLD."""

    def __init__(self, orders: Orders, others: dict[int, str]) -> None:
        self.deadline = orders.deadline
        self.parent = os.getppid()
        self.poll = select.poll()
        self.endings = {orders.lifeline: "lifeline", **others}
        for fd in self.endings:
            self.poll.register(fd, select.POLLIN)
        self.wake, wake_write = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.poll.register(self.wake, select.POLLIN)

    def wait(self, until: float | None = None) -> tuple[str | None, set[int]]:
        """Sleep until something happens: (why the servers must end or None, readable fds)."""
        limit = min(self.deadline, until or self.deadline)
        if not hasattr(os, "pidfd_open"):
            limit = min(limit, time.monotonic() + STALE_CHECK)
        ready = {fd for fd, _ in self.poll.poll(max(0, limit - time.monotonic()) * 1000 + 1)}
        if self.wake in ready:
            try:
                os.read(self.wake, 4096)
            except BlockingIOError:
                pass
        for fd, what in self.endings.items():
            if fd in ready:
                return what, ready
        if time.monotonic() >= self.deadline:
            return "time to live", ready
        if os.getppid() != self.parent:
            return "parent", ready
        return None, ready

    def forget_endings(self) -> None:
        """Their end is known; polling them on would only spin."""
        for fd in self.endings:
            self.poll.unregister(fd)
        self.endings = {}
        self.deadline = float("inf")
        self.parent = os.getppid()


# The inner half


def start(command: dict[str, Any], log: int) -> int:
    """Fork and exec one command in its own session; its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD,
                       signal.SIGPIPE, signal.SIGXFSZ):  # fmt: skip
            signal.signal(number, signal.SIG_DFL)
        empty = os.open(os.devnull, os.O_RDONLY)
        os.dup2(empty, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        allow_descriptors()
        os.chdir(command["cwd"])
        os.execve(command["argv"][0], command["argv"], command["env"])
    except OSError as error:
        os.write(2, f"{command['argv'][0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def allow_descriptors() -> None:
    """As many open files as this user may have: a shell often gives 1024, too few for a proxy.

    But no more than a program can make a table for; uWSGI keeps memory for each, used or not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def inner(orders: Orders, outer_fd: int | None, owner_fd: int | None, log: int) -> NoReturn:
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    # If the outer half dies while this one is stopped, this continues it; it changes nothing else.
    prctl(PR_SET_PDEATHSIG, signal.SIGCONT)
    if orders.pin and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, orders.pin)
    others = {fd: name for fd, name in ((outer_fd, "guard"), (owner_fd, "owner")) if fd is not None}
    watch = Watch(orders, others)
    servers = {start(command, log): index for index, command in enumerate(orders.commands)}
    os.close(log)
    why: str | None = None
    while why is None:
        why, _ = watch.wait()
        ended, _ = reap()
        for pid, code in ended:
            if pid in servers:
                tell(orders, event="exit", index=servers[pid], code=code)
                why = why or "exit"
    watch.forget_endings()
    end_all(watch, orders.grace)
    os._exit(0)


def end_all(watch: Watch, grace: float) -> None:
    """SIGTERM to the topmost processes, then SIGKILL to all when the grace period is over.

    Masters get the signal, not their workers: a worker that goes first would be replaced. What an
    ended master leaves behind becomes a child of this process and gets its own SIGTERM then.
    """
    until = time.monotonic() + grace
    told: set[int] = set()
    while not reap()[1]:
        if time.monotonic() >= until:
            kill_all_descendants()
            return
        me = os.getpid()
        below = descendants(me)
        for pid in below:
            fields = stat_fields(pid)
            if fields and fields[1] == me and pid not in told:
                told.add(pid)
                send(pid, signal.SIGTERM)
        for pid in below:  # a stopped process acts on no signal but these
            send(pid, signal.SIGCONT)
        watch.wait(until)


# The outer half


class Log:
    """Keeps the newest megabyte at most of what arrives, in two files that take turns."""

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, "log")
        self.open()

    def open(self) -> None:
        self.file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self.size = 0

    def pump(self, pipe: int) -> bool:
        """Move what is there; False when every writer has gone."""
        try:
            data = os.read(pipe, 65536)
        except BlockingIOError:
            return True
        try:
            if self.size + len(data) > LOG_HALF:
                os.close(self.file)
                os.replace(self.path, self.path + ".1")
                self.open()
            os.write(self.file, data)
        except OSError:
            pass  # a full disk may lose the log, but must not stop the server
        self.size += len(data)
        return bool(data)


def enter_namespace() -> None:
    """Make the next child init of a new PID namespace. Raises OSError where that isn't allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0 and libc.unshare(CLONE_NEWPID) == 0:
        return
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in (
        ("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1"),
    ):  # fmt: skip
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def mount_proc() -> None:
    """A /proc that shows the namespace's own numbers. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if (
        libc.unshare(CLONE_NEWNS) != 0
        or libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) != 0
        or libc.mount(b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None) != 0
    ):
        raise OSError(ctypes.get_errno(), "private /proc")


def namespace_works() -> bool:
    """Try it in a throw-away child: a half-made namespace could not be left again."""
    if not LINUX:
        return False
    pid = os.fork()
    if pid == 0:
        try:
            enter_namespace()
            child = os.fork()
            if child == 0:
                mount_proc()
                os._exit(0)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def outer(orders: Orders) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGCONT)  # see `inner`
    owner_fd = outer_fd = None
    if hasattr(os, "pidfd_open"):
        try:
            owner_fd = os.pidfd_open(orders.owner)
        except ProcessLookupError:
            return
        outer_fd = os.pidfd_open(os.getpid())
        fields = stat_fields(orders.owner)
        if fields is None or fields[2] != orders.owner_started:
            return
    namespace = orders.namespace and namespace_works()
    log_read, log_write = os.pipe()
    os.set_blocking(log_read, False)
    log = Log(orders.folder)
    if namespace:
        enter_namespace()
    child = os.fork()
    if child == 0:
        try:
            os.close(log_read)
            if namespace:
                mount_proc()
            inner(orders, outer_fd, owner_fd, log_write)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)
    os.close(log_write)
    tell(orders, event="started", inner=child, namespace=namespace)
    others = {} if owner_fd is None else {owner_fd: "owner"}
    watch = Watch(orders, others)
    watch.poll.register(log_read, select.POLLIN)
    why: str | None = None
    until: float | None = None
    alone = False
    while True:
        ending, ready = watch.wait(until)
        if log_read in ready and not log.pump(log_read):
            watch.poll.unregister(log_read)
        ended, none_left = reap()
        alone = alone or child in (pid for pid, _ in ended)
        if none_left:
            break
        if ending and why is None:
            why = ending
            watch.forget_endings()
            send(child, signal.SIGCONT)
            until = time.monotonic() + orders.grace + OUTER_PATIENCE
        if alone or (until and time.monotonic() >= until):
            kill_all_descendants()
            break
    while select.select([log_read], [], [], 0)[0] and log.pump(log_read):
        pass
    abandoned = is_abandoned(orders, owner_fd)
    tell(orders, event="done", why=why)
    if abandoned:
        tidy(orders)


def is_abandoned(orders: Orders, owner_fd: int | None) -> bool:
    """Whether the owner has died. One that lives writes a byte before it closes the lifeline.

    The pipe alone can't tell while a forked child holds it open, and the pidfd alone is late: a
    dying process closes its files first.
    """
    os.set_blocking(orders.lifeline, False)
    try:
        return not os.read(orders.lifeline, 1)
    except BlockingIOError:
        return owner_fd is not None and bool(select.select([owner_fd], [], [], 0)[0])


def tidy(orders: Orders) -> None:
    """Remove the run's folder and entry when no owner is left to do it."""
    import shutil

    if os.path.basename(orders.folder) == orders.run:
        shutil.rmtree(orders.folder, ignore_errors=True)
        try:
            os.unlink(orders.entry)
        except OSError:
            pass


if __name__ == "__main__":
    outer(Orders(json.load(sys.stdin)))
