"""A real Backend.AI 26.9.6 control plane on this machine, without Docker: `python -m tests.cluster up`.

Manager, agent, storage-proxy, app-proxy, PostgreSQL, Redis and etcd, all on loopback, all state in .local/cluster/.
The one thing that isn't real is what stands in for containers: a session's command runs as a process of this machine,
in namespaces of its own, with the emulator's `vllm` on its PATH.

    __main__         up, down, status, check, agent, manager, redis, app-proxy
    control          Cluster: what tests hold in their hands; fixtures has it for pytest
    bring_up         the order in which all is made, started and ended
    check            can it run here?
    content          users, images, policies: the emulator's
    ports, places    where everything is
    configuration    the services' files, from config/
    packages         Debian's and Python's
    infrastructure   PostgreSQL, Redis, etcd
    services         manager, agent, storage-proxy, app-proxy
    processes        programs in the background
    inside/          what runs in the cluster's own Python environment
"""
