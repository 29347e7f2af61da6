"""`bai-vllm`, the operator's command: what a person types, and what is shown of it.

main        the verbs, and the way from an argv to an exit code
boundary    what a user reads when something fails, and the exit code
console     how text reaches a terminal, a pipe or a file
plan/       the verb `plan`

A verb is a function whose signature is its options (typer makes the help of it); what it needs is imported inside,
so that `--help` and completion answer at once.  It returns its exit code.
"""
