"""The verb `monitor`.

command   options, and one look after the other
seen      what one look has found, and what has changed since the one before
screen    a frame of it
"""
