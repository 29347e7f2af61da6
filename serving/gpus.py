"""GPUs by the names people use: memory as vLLM sees it, and compute capability.

`memory_gib` is what torch calls total_memory: less than the name says and than nvidia-smi shows, because the driver
keeps some of it (and more where ECC is on).  Sources: the "total capacity of X GiB" of torch's out-of-memory errors
and vLLM's own "(free/total GiB)" and "total_gpu_memory" lines in public issues; drivers differ by up to 0.15 GiB, and
the lower of what was seen is taken.  Where no such line is known, nvidia-smi's MiB less the 0.45 GiB that cards of
the same generation keep.  Compute capabilities: NVIDIA's table of CUDA GPUs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from .errors import InvalidArgument, UnknownGpu
from .values import shown

Vendor = Literal["nvidia", "amd"]
UNSAID_CAPABILITY = (8, 0)
_LEAST_CAPABILITY, _LARGEST_CAPABILITY = (1, 0), (15, 9)  # the newest cards have 12.1


@dataclass(frozen=True)
class Gpu:
    """A card, or a share of one.

    `memory_gib`: of the whole card, as torch's total_memory; `capability`: CUDA's, None where there is none (ROCm).
    """

    name: str
    memory_gib: float
    capability: tuple[int, int] | None
    vendor: Vendor = "nvidia"
    share: float = 1.0

    @property
    def visible_gib(self) -> float:
        """GiB that a session with this share of the card sees."""
        return self.memory_gib * self.share

    @property
    def is_by_numbers(self) -> bool:
        """True for a card given by its memory, with the capability that stands for one that isn't said."""
        return self.name[:1].isdigit() and self.capability == UNSAID_CAPABILITY

    @property
    def capability_text(self) -> str | None:
        """As people write it: "8.0"."""
        return f"{self.capability[0]}.{self.capability[1]}" if self.capability else None

    @property
    def compute(self) -> int | None:
        """As vLLM compares it: 80 for 8.0."""
        return self.capability[0] * 10 + self.capability[1] if self.capability else None

    def shared(self, share: float) -> Gpu:
        """This share of the card."""
        return replace(self, share=share)


def _nvidia(capability: tuple[int, int], **cards: float) -> tuple[Gpu, ...]:
    return tuple(Gpu(name.replace("__", "-").replace("_", " "), gib, capability) for name, gib in cards.items())


# Keys: "_" is a blank, "__" a hyphen.
CATALOGUE: tuple[Gpu, ...] = (
    *_nvidia((6, 0), P100=15.89),
    *_nvidia((6, 1), P40=23.87, GTX_1080_Ti=10.90),
    *_nvidia((7, 0), V100__16GB=15.77, V100__32GB=31.73),
    *_nvidia((7, 5), T4=14.56, RTX_2080_Ti=10.75, RTX_8000=47.45),
    *_nvidia((8, 0), A30=23.49, A100__40GB=39.38, A100__80GB=79.15, A800=79.15),
    *_nvidia((8, 6), A2=14.54, A10=22.07, A10G=22.03, A16=14.54, A40=44.34),
    *_nvidia((8, 6), RTX_3060=11.63, RTX_3080=9.77, RTX_3090=23.57, RTX_A4000=15.60, RTX_A5000=23.55, RTX_A6000=47.40),
    *_nvidia((8, 9), L4=22.03, L20=44.39, L40=44.39, L40S=44.39),
    *_nvidia((8, 9), RTX_4060_Ti_16GB=15.57, RTX_4070_Ti_SUPER=15.57, RTX_4080=15.57, RTX_4090=23.52),
    *_nvidia((8, 9), RTX_4000_Ada=19.55, RTX_6000_Ada=47.40),
    *_nvidia((9, 0), H20=95.08, H100__80GB=79.18, H100_PCIe=79.18, H100_NVL=93.03, H800=79.11),
    *_nvidia((9, 0), GH200=94.50, GH200__144GB=139.80, H200=139.80, H200_NVL=139.80),
    *_nvidia((10, 0), B200=178.35, GB200=184.31),
    *_nvidia((10, 3), B300=267.69, GB300=276.90),
    *_nvidia((12, 0), RTX_5080=15.48, RTX_5090=31.36, RTX_PRO_6000=94.97),
    *_nvidia((12, 1), DGX_Spark=119.68),
    Gpu("MI210", 63.98, None, "amd"),
    Gpu("MI250X", 63.98, None, "amd"),  # one of its two dies, which is what a session sees as a GPU
    Gpu("MI300X", 191.69, None, "amd"),
    Gpu("MI325X", 255.69, None, "amd"),
    Gpu("MI350X", 287.69, None, "amd"),
    Gpu("MI355X", 287.69, None, "amd"),
)

# Short or other names; of several sizes the smallest, so that what is said to start does.
_ALIASES = {
    "v100": "V100-16GB",
    "a100": "A100-40GB",
    "a100sxm440gb": "A100-40GB",
    "a100sxm480gb": "A100-80GB",
    "a100pcie40gb": "A100-40GB",
    "a100pcie80gb": "A100-80GB",
    "a10080gbpcie": "A100-80GB",
    "a800sxm480gb": "A800",
    "a80080gb": "A800",
    "h100": "H100-80GB",
    "h10080gbhbm3": "H100-80GB",
    "h100sxm": "H100-80GB",
    "h100sxm5": "H100-80GB",
    "h100sxm580gb": "H100-80GB",
    "h100pcie80gb": "H100 PCIe",
    "h100nvl94gb": "H100 NVL",
    "h80080gb": "H800",
    "h200141gb": "H200",
    "h200sxm": "H200",
    "h2096gb": "H20",
    "gh200480gb": "GH200",
    "gh20096gb": "GH200",
    "gb10": "DGX Spark",
    "p10016gb": "P100",
    "p100pcie16gb": "P100",
    "v100sxm216gb": "V100-16GB",
    "v100sxm232gb": "V100-32GB",
    "v100pcie16gb": "V100-16GB",
    "v100pcie32gb": "V100-32GB",
    "6000ada": "RTX 6000 Ada",
    "rtx6000adageneration": "RTX 6000 Ada",
    "rtx4000adageneration": "RTX 4000 Ada",
    "rtxpro6000blackwell": "RTX PRO 6000",
    "rtxpro6000blackwellserveredition": "RTX PRO 6000",
    "rtxpro6000blackwellworkstationedition": "RTX PRO 6000",
    "mi250": "MI250X",
}
_MAKERS = re.compile(r"nvidia|geforce|tesla|quadro|amd|instinct")
_NEAR = 3  # names suggested for an unknown one


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", _MAKERS.sub("", name.lower()))


_BY_KEY = {
    **{_key(gpu.name): gpu for gpu in CATALOGUE},
    **{_key(gpu.name).removeprefix("rtx"): gpu for gpu in CATALOGUE if gpu.name.startswith("RTX ")},
}
_BY_KEY |= {alias: _BY_KEY[_key(name)] for alias, name in _ALIASES.items()}


def find_gpu(name: str) -> Gpu:
    """The card of this name: case, blanks, hyphens and the maker's name don't matter.  Raises UnknownGpu."""
    key = _key(name)
    found = _BY_KEY.get(key) or _BY_KEY.get(key.removesuffix("gb"))
    if found is not None:
        return found
    raise UnknownGpu(f"No GPU is known as {shown(name)}.", _suggestion(key))


def _suggestion(key: str) -> str:
    import difflib

    meant = key.replace("o", "0")  # H1OO
    near = [_BY_KEY[match].name for match in difflib.get_close_matches(meant, _BY_KEY, n=2 * _NEAR, cutoff=0.6)]
    names = ", ".join(list(dict.fromkeys(near))[:_NEAR]) or "T4, L4, A100-80GB, H100-80GB"
    return f"Known are, for example: {names}; or give the card by its memory in GiB and its compute capability."


def gpu_of_numbers(memory_gib: float, capability: tuple[int, int] | None = UNSAID_CAPABILITY) -> Gpu:
    """A card that has no name here; `memory_gib` as torch's total_memory.  Raises InvalidArgument.

    vLLM's batch defaults by card go by size and by "A100" in the name, which such a card doesn't have.
    """
    if not 0 < memory_gib < float("inf"):
        raise InvalidArgument(f"A GPU can't have {memory_gib} GiB.", "Give its memory in GiB.", key="gpu_memory_gib")
    return Gpu(f"{memory_gib:g} GiB", memory_gib, capability)


def capability_of(text: str) -> tuple[int, int]:
    """(8, 0) of "8.0".  Raises InvalidArgument."""
    match = re.fullmatch(r"(\d{1,2})\.(\d)", text.strip())
    if match is None:
        what = f"{shown(text)} is no compute capability."
        raise InvalidArgument(what, "Write it like 8.0.", key="compute_capability")
    capability = int(match[1]), int(match[2])
    if not _LEAST_CAPABILITY <= capability <= _LARGEST_CAPABILITY:
        what = f"No card has compute capability {text.strip()}."
        cure = "NVIDIA's table of CUDA GPUs says which it is, such as 8.0 for an A100 or 9.0 for an H100."
        raise InvalidArgument(what, cure, key="compute_capability")
    return capability
