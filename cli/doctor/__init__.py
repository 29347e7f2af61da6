"""The verb `doctor`: what has to be right before anything can be served, each line with its cure.

command   options, order of the checks, what is shown
here      this machine: Python, Pulumi, the stack and its file
cluster   endpoint, version, clock, key pair, image, quota and room
hub       the Hub, its token, and each model of the stack
"""
