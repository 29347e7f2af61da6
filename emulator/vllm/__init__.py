"""A stand-in for `vllm serve` 0.32.0: its flags, refusals, log lines and OpenAI routes, without a model.

It imports the standard library only and no dataclasses: a dozen of them start at once on a
small machine, each has to be up within a quarter of a CPU second.

    cli      the flags of the real program, from serving/data/vllm_flags.json
    repo     config.json and the list of weight files, from a folder or from a Hub
    checks   what vLLM refuses before it loads, and while it builds the model
    memory   weights and KV cache in GiB, by the basic formula
    engine   one start from flags to "ready": log lines, waiting, faults
    bodies   request bodies: types, ranges, refusals
    api      request bodies in, answer bodies out: models, completions, tokens
    counters /metrics
    server   sockets: routes, API key, SSE
    faults   what the VLLM_STANDIN_* variables ask to go wrong
    journal  log lines in vLLM's own form, refusals with vLLM's own texts
"""
