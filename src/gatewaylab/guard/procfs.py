"""What /proc tells about processes and sockets, as the owner of a run sees them.

On systems without /proc, psutil answers the questions about processes, and nothing is said about
who owns a socket.
"""

# These loops run while a server is measured, and pathlib is several times slower.
# ruff: noqa: PTH115,PTH208
from __future__ import annotations

import contextlib
import ipaddress
import os
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from gatewaylab.guard import guard

LINUX = sys.platform == "linux"
_LISTEN = "0A"
_TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when it is gone or a zombie.

    Together with the pid and the boot this names one process for ever.
    """
    if not LINUX:
        return int(psutil.Process(pid).create_time()) if psutil.pid_exists(pid) else None
    fields = guard.stat_fields(pid)
    return None if fields is None or fields[0] in "ZX" else fields[2]


def state(pid: int) -> str | None:
    """The scheduler's letter for a process (``R``, ``S``, ``T`` for stopped...), or None."""
    fields = guard.stat_fields(pid)
    return fields[0] if fields else None


def boot_id() -> str:
    """This boot's identity; pids and start times mean nothing in another."""
    if LINUX:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"boot-{int(psutil.boot_time())}"


def below(root: int) -> set[int]:
    """Every living process below `root`, not counting it."""
    if LINUX:
        return set(guard.descendants(root))
    try:
        return {child.pid for child in psutil.Process(root).children(recursive=True)}
    except psutil.NoSuchProcess:
        return set()


def pressure_total(text: str) -> float:
    """Seconds in which at least one task waited for a CPU, from ``/proc/pressure/cpu``.

    The running total is read rather than the averages, because those look back ten seconds and
    more. Source: Linux, Documentation/accounting/psi.

    Raises:
        ValueError: the text has no such total.
    """
    for line in text.splitlines():
        if line.startswith("some "):
            return int(line.rpartition("total=")[2]) / 1e6
    raise ValueError("no line for 'some' in the pressure file")


def machine_times(text: str, cores: Collection[int] | None = None) -> dict[str, float]:
    """CPU seconds from ``/proc/stat``: ``busy``, ``steal`` and ``all``.

    Interrupt time is in ``all`` and not in ``busy``: no process is charged with it, so it could
    not be told apart from a foreign process's.

    Args:
        cores: which of them to add up; the whole machine when None.

    Raises:
        ValueError: the text is something else.

    Source: proc_stat(5).
    """
    wanted = {"cpu"} if cores is None else {f"cpu{core}" for core in cores}
    rows = [line.split() for line in text.splitlines()]
    rows = [fields for fields in rows if fields and fields[0] in wanted and len(fields) >= 9]
    if len(rows) != len(wanted):
        raise ValueError(f"no line for {', '.join(sorted(wanted))} in the stat file")
    columns = zip(*([int(field) / _TICK for field in fields[1:9]] for fields in rows), strict=True)
    user, nice, system, idle, iowait, irq, softirq, steal = map(sum, columns)
    busy = user + nice + system
    return {
        "busy": busy, "steal": steal, "all": busy + idle + iowait + irq + softirq + steal,
    }  # fmt: skip


def pin(pid: int, cores: Collection[int]) -> None:
    """Let all threads of a process run on these CPUs only; one that has gone is left out."""
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread), cores)


def waited(pids: Iterable[int]) -> float:
    """Seconds for which the threads of these processes were ready to run and others ran.

    Only of threads that still live. 0 where the system does not tell. Source: Linux,
    Documentation/scheduler/sched-stats.
    """
    total = 0
    for pid in pids:
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        for thread in threads:
            try:
                total += int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_bytes().split()[1])
            except (OSError, IndexError, ValueError):
                continue
    return total / 1e9


def asleep(pids: Iterable[int]) -> bool:
    """Whether every thread of these processes waits, and none runs or is ready to.

    What is gone counts as asleep, and so does everything where the system does not tell. Source:
    proc_pid_stat(5), the state.
    """
    for pid in pids if LINUX else ():
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        for thread in threads:
            fields = guard.stat_fields(f"{pid}/task/{thread}")
            if fields and fields[0] not in "SIZX":
                return False
    return True


def throttled() -> float:
    """Seconds for which a quota has kept this process's control group from running, all cores.

    0 where there is no quota. Source: Linux, Documentation/admin-guide/cgroup-v2 (``cpu.stat``).
    """
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return 0.0
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = Path("/sys/fs/cgroup/cpu") if controllers else Path("/sys/fs/cgroup")
        # In a container the group is the root of what is mounted.
        for folder in (mount / path.lstrip("/"), mount):
            try:
                words = (folder / "cpu.stat").read_text().split()
            except OSError:
                continue
            found = dict(zip(words[::2], words[1::2], strict=False))
            if "throttled_time" in found:
                return int(found["throttled_time"]) / 1e9
            if "throttled_usec" in found:
                return int(found["throttled_usec"]) / 1e6
    return 0.0


def cpu_seconds(pid: int, *, own: bool = True) -> float:
    """User and system seconds of a process and of its reaped children; 0.0 when it is gone.

    With `own` False, of its reaped children only.
    """
    if not LINUX:
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.NoSuchProcess:
            return 0.0
        return float(times.user + times.system) if own else 0.0
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11 if own else 13 : 15])) / _TICK


def memory(pid: int) -> int:
    """Proportional set size of a process in bytes; 0 when it is gone or hidden.

    Memory that n processes share counts as one n-th in each, so that a sum over all is what the
    machine lacks. Elsewhere than on Linux, the resident set size. Source: proc_pid_smaps(5).
    """
    if not LINUX:
        try:
            return int(psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            return 0
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(one.split()[1]) for one in lines if one.startswith("Pss:")), 0)


def threads(pid: int) -> int:
    """How many threads a process has; 0 when it is gone."""
    try:
        return psutil.Process(pid).num_threads()
    except psutil.Error:
        return 0


def all_pids() -> list[int]:
    """Every process that this one can see."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()] if LINUX else []


def has_in_environment(pid: int, item: str) -> bool:
    """Whether exactly ``NAME=value`` is in the environment that a process was started with."""
    try:
        return item.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def working_folder(pid: int) -> str | None:
    """A process's current directory, or None when that can't be read."""
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return None


def describe(pid: int) -> str:
    """A process in words: pid, command line, parent."""
    try:
        words = (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
    except OSError:
        words = ""
    return f"pid {pid} ({words.strip()[:120] or 'unknown command'})"


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket: its address, port and inode."""

    host: str
    port: int
    inode: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        address = ipaddress.ip_address(self.host)
        mapped = getattr(address, "ipv4_mapped", None)
        return bool((mapped or address).is_loopback)

    def meets(self, host: str, port: int) -> bool:
        """Whether it takes, or competes for, connections to ``host:port``."""
        address = ipaddress.ip_address(self.host)
        mapped = getattr(address, "ipv4_mapped", None) or address
        return self.port == port and (mapped.is_unspecified or str(mapped) == host)


def listeners() -> list[Listener]:
    """Every listening TCP socket of this network namespace.

    The kernel lists the listening sockets before all others (its documentation, `proc_net_tcp`), so
    that nobody needs to read on through the thousands of closed ones that a load leaves behind.
    """
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), Path(table).open() as lines:
            next(lines, None)  # the names of the columns
            for fields in map(str.split, lines):
                if fields[3] != _LISTEN:
                    break
                address, _, port = fields[1].partition(":")
                found.append(Listener(_address(address), int(port, 16), int(fields[9])))
    return found


def _address(text: str) -> str:
    """The kernel's hexadecimal address: 32-bit words, each in the machine's byte order."""
    words = [bytes.fromhex(text[at : at + 8]) for at in range(0, len(text), 8)]
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return str(ipaddress.ip_address(packed))


def unix_listeners(path: Path) -> set[int]:
    """Inodes of the sockets that listen on a unix socket's path."""
    found = set()
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and fields[7] == str(path) and int(fields[3], 16) & 0x10000:
            found.add(int(fields[6]))
    return found


def socket_inodes(pids: Iterable[int]) -> dict[int, int]:
    """Which of `pids` holds each socket: inode to pid. What can't be read is left out."""
    held: dict[int, int] = {}
    for pid in pids:
        try:
            numbers = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        for number in numbers:
            try:
                link = os.readlink(f"/proc/{pid}/fd/{number}")
            except OSError:
                continue
            if link.startswith("socket:["):
                held.setdefault(int(link[8:-1]), pid)
    return held
