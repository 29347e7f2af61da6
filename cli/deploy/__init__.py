"""The verb `deploy`, and what `remove` shares with it: a change to the stack file, and the run that makes it true.

command     the options of `deploy`
entry       the options as an entry of the stack file
checking    what a run would refuse of the file, found without a run
token       a Hub token: from where it comes, and how it is encrypted
running     preview and up, through Pulumi's Automation API
watching    what a run says, as lines for an operator
changing    the file is changed, the run is made, and where nothing had begun the file is put back

The Automation API runs what the CLI runs, and gives typed events: whether a session was touched isn't read from text.
What it can't do is done otherwise: it doesn't know `stackConfigDir`, so stack_file changes the file; and it hands
`config set` a value as an argument, which everybody on the machine could see, so a token goes to the CLI by stdin.
"""
