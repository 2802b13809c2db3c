"""The test bed: each set-up of ``deploy/`` at work, with TLS and a Django project behind it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from gatewaylab.guard.tree import workers_of
from tests.deploy import programs
from tests.deploy.files import DEPLOY, PROJECT, Change, places, unchanged, write_web_server
from tests.deploy.programs import limited
from tests.deploy.setups import HOST, IMAGE, PROXY, VISITOR, SetUp
from tests.deploy.sockets import listening, with_socket

PATIENCE = 60.0  # a limit for what should come at once, on a machine of any speed


def free_port(address: str = PROXY) -> int:
    """A port on which nobody listens now."""
    with socket.socket() as one:
        one.bind((address, 0))
        port: int = one.getsockname()[1]
        return port


def make_certificate(folder: Path) -> None:
    """An authority of our own, ``ca.pem``, and its certificate, in files named as certbot's."""
    folder.mkdir()
    new = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
           "-nodes", "-days", "2")  # fmt: skip
    run(*new, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem", cwd=folder)
    run(
        *new, "-CA", "ca.pem", "-CAkey", "ca.key", "-subj", f"/CN={HOST}",
        "-addext", f"subjectAltName=DNS:{HOST}", "-addext", "basicConstraints=CA:FALSE",
        "-keyout", "privkey.pem", "-out", "fullchain.pem", cwd=folder,
    )  # fmt: skip


def run(*argv: str, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """What a program said; it must have ended well."""
    done = subprocess.run(
        argv, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def environment(one: SetUp, site: Path) -> dict[str, str]:
    """What systemd's EnvironmentFile or Compose would say."""
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}",
        "TMPDIR": os.environ["TMPDIR"],
        "PYTHONPATH": str(PROJECT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "DJANGO_SETTINGS_MODULE": "myproject.settings",
        "MYPROJECT_SITE": str(site),
        "MYPROJECT_PREFIX": one.prefix.lstrip("/"),
        "WEB_CONCURRENCY": "1",
        **{name: os.environ[name] for name in ("REDIS_URL",) if name in os.environ},
        **({"MYPROJECT_NO_NGINX": "1"} if one.apache else {}),
    }


def make_site(one: SetUp, folder: Path) -> Path:
    """What stands for /srv/myproject: a build, collected files, uploads."""
    site = folder / "site"
    shutil.copytree(DEPLOY / "public", site / "public")
    run(sys.executable, "-m", "django", "collectstatic", "--no-input", cwd=PROJECT,
        env=environment(one, site))  # fmt: skip
    (site / "calls").touch()
    uploads = {
        "public/media": {"page.html": "<script>alert(1)</script>", "drawing.svg": "<svg/>"},
        "private": {"letter.txt": "for one reader"},
    }
    for kept, files in {
        **({} if one.images else uploads),  # the proxy's container has a disk of its own
        "certbot/.well-known/acme-challenge": {"token": "challenge"},
    }.items():
        (site / kept).mkdir(parents=True)
        for name, text in files.items():
            (site / kept / name).write_text(text)
    return site


@dataclass(frozen=True)
class Up:
    """A set-up at work.

    Attributes:
        one: which. port: where the web server listens at `PROXY`. port_80: its port for HTTP.
        ports: of the images' servers, by service. folder: for all files of the run.
        env: the application's environment. processes: the first process of each server, by name.
    """

    one: SetUp
    port: int
    port_80: int
    ports: Mapping[str, int]
    folder: Path
    env: Mapping[str, str]
    processes: Mapping[str, subprocess.Popen[bytes]]

    @property
    def site(self) -> Path:
        """What stands for /srv/myproject."""
        return self.folder / "site"

    @property
    def log(self) -> Path:
        """The access log."""
        return self.folder / "log" / "myproject.log"

    @property
    def told(self) -> dict[str, str]:
        """What a proxy in front says of the visitor."""
        said = {"X-Forwarded-For": VISITOR, "X-Forwarded-Proto": "https"}
        return said if self.one.behind else {}

    @property
    def visitor(self) -> str:
        """The address that the application should see."""
        return VISITOR if self.one.behind else PROXY

    @property
    def authority(self) -> str:
        """What stands in the address bar: a visitor of a proxy sees the proxy's port alone."""
        return HOST if self.one.behind else f"{HOST}:{self.port}"

    def path(self, path: str) -> str:
        """Where the project has a path of this name."""
        return self.one.prefix + path

    def trust(self) -> ssl.SSLContext:
        """TLS that believes our own authority."""
        return ssl.create_default_context(cafile=self.folder / "tls" / "ca.pem")

    def client(self, *, http2: bool = False, peer: str = PROXY) -> httpx.Client:
        """A visitor; behind a proxy, what the proxy makes of one."""
        transport = httpx.HTTPTransport(
            verify=self.trust(), http2=http2, http1=not http2, local_address=peer
        )
        return httpx.Client(
            base_url=f"{'http' if self.one.behind else 'https'}://{PROXY}:{self.port}",
            headers={"Host": self.authority, **self.told}, transport=_Named(transport),
            timeout=PATIENCE,
        )  # fmt: skip

    def connect(self) -> socket.socket:
        """A connection of HTTP/1.1, with TLS unless that ends in front."""
        plain = socket.create_connection((PROXY, self.port), timeout=PATIENCE)
        return plain if self.one.behind else self.trust().wrap_socket(plain, server_hostname=HOST)

    def calls(self, what: str, path: str) -> int:
        """How often the application was called for a path (`begin`), or has ended (`end`)."""
        return (self.site / "calls").read_text().splitlines().count(f"{what} {self.path(path)}")


class _Named(httpx.BaseTransport):
    """Asks for the certificate of `HOST`, whatever address it connects to."""

    def __init__(self, inner: httpx.HTTPTransport) -> None:
        self.inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "sni_hostname": HOST}
        return self.inner.handle_request(request)

    def close(self) -> None:
        self.inner.close()


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Look until something is so.

    Raises:
        AssertionError: it never was, within `PATIENCE`.
    """
    until = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < until, f"never: {what}"
        time.sleep(0.01)


def reload(process: psutil.Process) -> None:
    """What ExecReload sends, until other workers are in place of all."""
    before = {one.pid for one in workers_of(process)}
    process.send_signal(signal.SIGHUP)

    def replaced() -> bool:
        now = {one.pid for one in workers_of(process)}
        return not before & now and len(now) == len(before)

    wait_until(replaced, "new workers")


@contextmanager
def started(
    argv: list[str],
    folder: Path,
    env: Mapping[str, str],
    log: str,
    keep: Sequence[int] = (),
    cwd: Path = PROJECT,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program at work, with these descriptors; at the end it and its children are gone."""
    with (folder / "log" / f"{log}.txt").open("ab") as out:
        process = subprocess.Popen(
            argv, cwd=cwd, env=env, stdout=out, stderr=out, start_new_session=True,
            pass_fds=keep,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)


@contextmanager
def servers_up(one: SetUp, folder: Path, change: Change = unchanged) -> Iterator[Up]:
    """The application servers of a set-up at work, and what the web server needs; not it itself."""
    folder.mkdir()
    (folder / "log").mkdir()
    make_certificate(folder / "tls")
    site = make_site(one, folder)
    ports = {service: free_port(IMAGE) for service in one.images}
    env, processes = environment(one, site), dict[str, subprocess.Popen[bytes]]()
    up = Up(one, free_port(), free_port(), ports, folder, env, processes)
    with ExitStack() as stack:
        for name in one.units:  # systemd hands a service the socket of its socket unit
            program = programs.unit(name, folder, change)
            keep = stack.enter_context(listening(folder / f"{name}.sock")).fileno()
            argv = limited(with_socket(program.argv, keep), program.files)
            processes[name] = stack.enter_context(started(argv, folder, env, name, [keep]))
        for name, kind in one.images.items():
            program = programs.image(name, kind, ports[name], folder, change)
            argv = limited(program.argv, program.files)
            processes[name] = stack.enter_context(
                started(argv, folder, {**env, **program.env}, name)
            )
        yield up


@contextmanager
def web_server(up: Up, change: Change = unchanged) -> Iterator[Up]:
    """The web server before them, with its files changed where a test wants that."""
    by = places(up.one, up.folder, up.port, up.port_80, up.ports)
    argv = write_web_server(up.one, up.folder, by, change)
    # systemd starts it without the project's paths; Apache has to find them in its file.
    env = {
        "PATH": os.defpath,
        **{k: v for k, v in up.env.items() if k not in ("PATH", "PYTHONPATH")},
    }
    argv = limited(argv, programs.web_server_files(up.one, change))
    said = run(*argv, "-t", cwd=up.folder, env=env)
    assert up.one.apache or "[warn]" not in said, said
    with started(argv, up.folder, env, "web"):
        try:
            wait_until(lambda: _answers(up), "an answer")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{logs(up)}") from None
        yield up


def _answers(up: Up) -> bool:
    """Whether both services do: of two, the second has what lies below /events/."""
    try:
        with up.client() as client:
            ready = client.get("/healthz").status_code == 200
            return ready and client.get("/events/none").status_code not in {502, 503, 504}
    except httpx.TransportError:
        return False


def logs(up: Up) -> str:
    """What all programs said."""
    return "\n".join(file.read_text()[-2000:] for file in sorted((up.folder / "log").iterdir()))
