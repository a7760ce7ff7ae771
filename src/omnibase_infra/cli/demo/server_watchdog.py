"""Ends a server and removes its directory once the process that started it is gone, however that ended.

Run as a script with the directory as its argument. Standard input is a pipe of lines `+<pid>` (started) and `-<pid>`
(ended and reaped); its end means that nobody holds the other side any more. Only the standard library, and nothing of
this package, is imported: the script runs by its path in an isolated interpreter.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

_PROC = Path("/proc")
_POLL_SECONDS = 0.005
_GIVE_UP_SECONDS = 10.0
_IPC_RMID = 0

# The child tells the watchdog its process id before it becomes the server, so that no moment exists in which a server
# runs that the watchdog does not know.
REGISTER_AND_EXEC = ("/bin/sh", "-c", 'echo "+$$" >&0 && exec "$@" </dev/null', "sh")
"""What a server's command is put behind; its standard input is the watchdog's."""


def watch(directory: Path) -> subprocess.Popen[bytes]:
    """Start a watchdog over a directory and the servers that are registered with it."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # out of reach of the terminal's Ctrl-C
        cwd="/",
    )


def forget(watchdog: subprocess.Popen[bytes] | None, pid: int) -> None:
    """Tell the watchdog of a server that has ended: its process id may now be given away."""
    if watchdog is not None and watchdog.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            watchdog.stdin.write(b"-%d\n" % pid)
            watchdog.stdin.flush()


def _processes() -> dict[int, int]:
    """Every living process and its parent; zombies are left out."""
    parents: dict[int, int] = {}
    if (_PROC / "self" / "stat").exists():
        for entry in _PROC.iterdir():
            if not entry.name.isdecimal():
                continue
            try:
                # The command name stands in parentheses and may hold anything, further parentheses too.
                state, parent = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if state not in "ZX":
                parents[int(entry.name)] = int(parent)
        return parents
    listing = subprocess.run(
        ["/bin/ps", "-A", "-o", "pid=,ppid=,stat="], check=True, capture_output=True, text=True
    ).stdout
    for line in listing.splitlines():
        pid, parent, state = line.split()[:3]
        if not state.startswith("Z"):
            parents[int(pid)] = int(parent)
    return parents


def family(pid: int) -> list[int]:
    """The living process and its children, the process first."""
    processes = _processes()
    return [pid] * (pid in processes) + [child for child, parent in processes.items() if parent == pid]


def signal_family(pid: int, number: signal.Signals) -> list[int]:
    """Send a signal to a process and its children; returns those it was sent to.

    PostgreSQL's children are each a session of their own, so the signal cannot go to a process group.
    """
    members = family(pid)
    for member in members:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member, number)
    return members


def kill_family(pid: int) -> None:
    """SIGKILL a process and its children, and wait until none of them runs."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)  # it forks no further child while they are counted
    members = signal_family(pid, signal.SIGKILL)
    deadline = time.monotonic() + _GIVE_UP_SECONDS
    while not _processes().keys().isdisjoint(members) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def discard_lock_file(data: Path) -> None:
    """Remove what a killed server left behind: its `postmaster.pid` and the shared memory segment named there."""
    lock_file = data / "postmaster.pid"
    try:
        lines = lock_file.read_text().splitlines()
    except FileNotFoundError:
        return
    with contextlib.suppress(IndexError, ValueError):
        ctypes.CDLL(None).shmctl(int(lines[6].split()[1]), _IPC_RMID, None)
    lock_file.unlink(missing_ok=True)


def remove(directory: Path) -> None:
    """Remove the directory of a server that no longer runs."""
    with contextlib.suppress(OSError):
        discard_lock_file(directory / "data")
    shutil.rmtree(directory, ignore_errors=True)


def main() -> None:
    """Wait for the end of standard input, then end and remove everything."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    started: set[int] = set()
    for line in sys.stdin:
        if line.startswith("+"):
            started.add(int(line[1:]))
        else:
            started.discard(int(line[1:]))
    for pid in started:
        kill_family(pid)
    remove(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
