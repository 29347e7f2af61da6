"""`bai-vllm`, the operator's command: what a person types, and what is shown of it.

main        the verbs, and the way from an argv to an exit code
boundary    what a user reads when something fails, and the exit code
console     how text reaches a terminal, a pipe or a file
stack       the selected stack as `pulumi stack export` tells it; pulumi_cli: how that CLI is called
cluster     the stack's models and other sessions as they stand now; metrics: how busy their servers are
finding     from a name that was typed to one session
cures       from causes to the command that cures them: one table
live        what goes on until Ctrl-C
plan/, adopt/, listing/ (`list`), monitor/, doctor/, logs, kill, orphans    the verbs

A verb is a function whose signature is its options (typer makes the help of it); what it needs is imported inside,
so that `--help` and completion answer at once.  It returns its exit code.
"""
