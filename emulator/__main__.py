"""`python -m emulator`: the stand-in as a program, for the local stack. SIGTERM or Ctrl-C ends it."""

import argparse
import json
import logging
import os
import signal
import threading
from pathlib import Path

from emulator.server import Emulator


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m emulator", description=__doc__)
    parser.add_argument("--port", type=int, default=8090, help="of the manager (%(default)s); 0 takes a free one")
    parser.add_argument("--hub-port", type=int, default=8091, help="of the Hub (%(default)s)")
    parser.add_argument("--load-seconds", type=float, help="how long vLLM loads a model")
    parser.add_argument("--start-seconds", type=float, default=0.3, help="PENDING to RUNNING (%(default)s)")
    parser.add_argument("--gpu-slot", choices=("cuda.device", "cuda.shares"), default="cuda.device")
    parser.add_argument("--app-proxy", action="store_true", help="the cluster has an app-proxy")
    parser.add_argument("--state-file", type=Path, help="JSON with pid and endpoints, there while it runs")
    parser.add_argument("--log", type=Path, help="one line a request; standard error gets failures only")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    if asked.log:
        logging.basicConfig(filename=asked.log, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Emulator(
        load_seconds=asked.load_seconds,
        start_seconds=asked.start_seconds,
        gpu_slot=asked.gpu_slot,
        app_proxy=asked.app_proxy,
        port=asked.port,
        hub_port=asked.hub_port,
    ) as emu:
        state = {"pid": os.getpid(), "endpoint": emu.endpoint, "hub_endpoint": emu.hub_endpoint}
        if asked.state_file:
            asked.state_file.write_text(json.dumps(state) + "\n")
        print(
            f"emulator ready: Backend.AI at {emu.endpoint}, Hugging Face Hub at {emu.hub_endpoint}",
            flush=True,
        )
        stop.wait()
    if asked.state_file:
        asked.state_file.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
