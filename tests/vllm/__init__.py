"""Real vLLM, on a machine without a GPU: `make test-vllm`.  Not part of `make test`.

install      its CPU build in an environment of its own, in the user's cache
tiny         a model of half a million parameters, made on the spot
server       one `vllm serve` of it
bodies       what is asked of the real server and of the emulator's stand-in, and how answers are compared
"""
