"""The verb `test`: whether a server does what a client will ask of it, how fast, and what fails and why.

command     the options
servers     from a name or an address to the servers that are asked
steps       what is asked of one
report      how it is shown
"""
