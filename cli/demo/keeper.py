"""Runs a PostgreSQL server as a given user until standard input ends, so that it ends with whoever started it.

A script of its own, run by its path: `keeper.py UID|- PROGRAM ARGUMENT…`. It says the server's process number first.
"""

import os
import signal
import subprocess
import sys
import threading
from typing import Final

#: A server that does not come to its end by itself ends at once then, and recovers when it is started again.
STOP_S: Final = 8.0


def main() -> int:
    """Return the exit code of the server."""
    user, *program = sys.argv[1:]
    # Ctrl-C at the terminal is for who started us; the server ends after those who use it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    who = None if user == "-" else int(user)
    server = subprocess.Popen(program, stdin=subprocess.DEVNULL, stdout=sys.stderr, user=who)
    signal.signal(signal.SIGTERM, lambda *_: server.send_signal(signal.SIGINT))
    print(server.pid, flush=True)  # noqa: T201 -- read by who started us
    threading.Thread(target=_end_at_eof, args=(server,), daemon=True).start()
    return server.wait()


def _end_at_eof(server: "subprocess.Popen[bytes]") -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    server.send_signal(signal.SIGINT)
    try:
        server.wait(STOP_S)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)


if __name__ == "__main__":
    sys.exit(main())
