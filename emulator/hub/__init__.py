"""A loopback Hugging Face Hub: real configs and tensor shapes, no weights, the real error headers.

tensors    names, dtypes and shapes of a checkpoint, worked out from its config.json
catalog    the repos: configs, shards, gates, chat templates
files      the bytes of a repo's files; weights are a true header and lazy zeros
models     state and rules: tokens, gates, revisions, faults, counted requests
errors     what the Hub refuses, with the headers that decide the client's exception
responses  reads parameters, calls the state, shapes the answer
urls       ROUTES
"""
