"""The floor: a program with as many no-op dynamic resources as RESOURCES says."""

import os

from noop import Noop

for index in range(int(os.environ["RESOURCES"])):
    Noop(f"noop-{index}")
