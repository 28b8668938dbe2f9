"""Run as a script: runs a command that ends, with all processes that it started, when this script's starter ends.

A training has processes of its own: one for each GPU, and those that read data. The starter holds the other end of this
script's standard input; where it is killed, the system closes that end, and the whole process group is killed.
"""

import os
import signal
import subprocess
import sys
import threading


def end_with_starter() -> None:
    """Waits for the end of standard input, then kills the process group, this script included."""
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=end_with_starter, daemon=True).start()
    status = subprocess.call(sys.argv[1:], stdin=subprocess.DEVNULL)  # noqa: S603 - no shell, the starter's arguments
    sys.exit(status if status >= 0 else 128 - status)
