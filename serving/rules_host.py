"""What the session's own memory and /dev/shm have to hold while vLLM starts.

Sources: torch.load of a .bin file is whole in memory (vLLM's pt_weights_iterator), safetensors are mapped; the
start-up of vLLM 0.32.0 measured at 2.5 GB for its three processes, and about as much again for each further worker;
ShmRingBuffer (10 chunks of VLLM_MQ_MAX_CHUNK_BYTES_MB = 16 MiB) and NCCL's shared-memory segments in /dev/shm.
"""

from __future__ import annotations

from collections.abc import Iterator

from .errors import InvalidArgument, ServingError
from .estimates import GIB
from .hub_facts import HubFacts
from .model_request import ModelRequest

Finding = ServingError | str

_MIB = 1024**2
_PROCESS_GIB = 3.0  # API server and engine
_WORKER_GIB = 2.0  # CUDA libraries and staging buffers of a worker
_RING_MIB, _NCCL_MIB = 160, 128  # of /dev/shm: vLLM's own, and of each GPU's NCCL


def host_memory(request: ModelRequest, facts: HubFacts, largest_bin: int) -> Iterator[Finding]:
    """`largest_bin`: bytes of the largest .bin file, 0 without one."""
    there = request.host_memory
    if there is None:
        return
    processes = int((_PROCESS_GIB + _WORKER_GIB * max(1, request.gpus_needed)) * GIB)
    if largest_bin > there:
        what = (
            f"Loading holds a .bin file of {largest_bin / GIB:.1f} GiB whole in memory; there are {there / GIB:g} GiB."
        )
        yield InvalidArgument(what, f"Give it {_rounded(largest_bin + processes)} GiB of memory.", key="memory")
    elif there < largest_bin + processes:
        needed = _rounded(largest_bin + processes)
        yield f"Memory is short: {there / GIB:g} GiB, where loading takes up to {needed} GiB; it may be ended (137)."


def shared_memory(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    """GPUs of one model talk through /dev/shm."""
    size = request.gpus_needed
    if request.shmem is None or size <= 1:
        return
    needed = (_RING_MIB + _NCCL_MIB * size) * _MIB
    if request.shmem < needed:
        yield (
            f"/dev/shm is small: {request.shmem / GIB:.2g} GiB for {size} GPUs, which may end in a bus error: "
            f"set shmem to {2 * size}g."
        )


def _rounded(size: int) -> int:
    return -(-size // GIB)
