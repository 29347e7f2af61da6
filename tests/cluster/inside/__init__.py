"""What runs in the cluster's own environment: its packages are there, the project's aren't (and the other way round).

agent, kernel, shim     the agent whose sessions are real processes; `agent_faults` are its switches
manager, worker         the stock services, each with one constant changed
database, seed          the state that a new cluster begins with
"""
