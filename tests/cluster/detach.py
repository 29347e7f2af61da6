"""`python detach.py LOG CWD PROGRAM ARGUMENT...`: start a program in a session of its own; print its pid and be gone.

Its parent is then the system's first process, so whoever asked for it (a test run, say) neither has to reap it nor
takes it along at its end.  Standard library only, started with -I -S: it must take no time.
"""

from __future__ import annotations

import os
import sys


def main(log: str, cwd: str, *command: str) -> None:
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        os._exit(0)
    os.setsid()
    os.chdir(cwd)
    for number, (path, flags) in enumerate(((os.devnull, os.O_RDONLY), (log, os.O_WRONLY | os.O_CREAT | os.O_APPEND))):
        os.dup2(os.open(path, flags, 0o644), number)
    os.dup2(1, 2)
    os.closerange(3, 256)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
