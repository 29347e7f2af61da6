"""`python -m bench [ROW ...]`: each row's ratio and its aim, with the medians behind it.

Rows: preview, empty_preview, up; plan (several: the times of `bai-vllm`).
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from bench import plan
from bench.rows import Row, paired, pairwise, timed
from emulator import Emulator
from tests.lifecycle.driver import ADMIN, TINY, PulumiStack

HERE = Path(__file__).parent
MODELS = 12
LOAD_SECONDS = 20
ROUNDS = 5


class Bench:
    """The programs to compare, each in a project of its own against one emulator."""

    def __init__(self, folder: Path, emulator: Emulator) -> None:
        env = {
            "BACKEND_ENDPOINT": emulator.endpoint,
            "BACKEND_ACCESS_KEY": ADMIN[0],
            "BACKEND_SECRET_KEY": ADMIN[1],
            "HF_ENDPOINT": emulator.hub_endpoint,
            "RESOURCES": str(2 * MODELS),
        }
        self.emulator = emulator
        self.ours = PulumiStack(folder / "ours", env)
        self.floor = self._plain(folder / "floor", HERE / "floor", env)
        self.empty = self._plain(folder / "empty", HERE / "empty", env)
        self.ours.init()

    @staticmethod
    def _plain(folder: Path, program: Path, env: dict[str, str]) -> PulumiStack:
        stack = PulumiStack(folder, env)
        for file in program.iterdir():
            if file.is_file():
                (folder / file.name).write_bytes(file.read_bytes())
        stack.init()
        return stack

    def models(self, load_seconds: float) -> list[dict[str, object]]:
        """Small models that fit all at once into the emulated cluster."""
        env = {"VLLM_STANDIN_LOAD_SECONDS": str(load_seconds)}
        return [{"name": f"model-{i}", **TINY, "gpus": 0.5, "env": env} for i in range(MODELS)]

    def preview(self) -> Row:
        """Preview of 12 models ÷ preview of as many no-op resources."""
        self.ours.configure(self.models(1), {"gpu_unit": "cuda.shares"})
        ours, floor = paired(self.ours.preview, self.floor.preview, ROUNDS)
        detail = f"{statistics.median(ours):.2f} s ÷ {statistics.median(floor):.2f} s"
        return Row(f"preview of {MODELS} models ÷ floor", pairwise(ours, floor), 1.25, detail)

    def empty_preview(self) -> Row:
        """The floor itself, against a program without resources."""
        floor, empty = paired(self.floor.preview, self.empty.preview, ROUNDS)
        detail = f"{statistics.median(floor):.2f} s ÷ {statistics.median(empty):.2f} s"
        return Row("floor ÷ empty program (for orientation)", pairwise(floor, empty), 2.0, detail)

    def up(self) -> Row:
        """`up` of 12 models that load for 20 s ÷ (20 s + `up` of the empty program)."""
        self.ours.configure(self.models(LOAD_SECONDS), {"gpu_unit": "cuda.shares"})
        empty = timed(self.empty.up)
        ours = timed(self.ours.up)
        self.ours.destroy()
        detail = f"{ours:.1f} s ÷ ({LOAD_SECONDS} s + {empty:.1f} s)"
        return Row(f"up of {MODELS} models of {LOAD_SECONDS} s load", ours / (LOAD_SECONDS + empty), 1.25, detail)


def main() -> None:
    wanted = sys.argv[1:] or ["preview", "empty_preview", "up", "plan"]
    with tempfile.TemporaryDirectory() as folder, Emulator(load_seconds=1, gpu_slot="cuda.shares") as emulator:
        stacks = Bench(Path(folder), emulator) if set(wanted) - {"plan"} else None
        print(f"{'':44} {'ratio':>6} {'aim':>6}")
        for name in wanted:
            rows = plan.rows(Path(folder) / "cache", emulator) if name == "plan" else [getattr(stacks, name)()]
            for row in rows:
                print(row, flush=True)


if __name__ == "__main__":
    main()
