"""The verb `adopt`: a session that was made without the stack comes under it, without a restart.

declared.py    the stack file in clear, and which replica is meant
comparing.py   the session as cluster and server tell it, against what is declared
writing.py     the key into the stack file, the session into the state
command.py     the verb, in this order
"""
