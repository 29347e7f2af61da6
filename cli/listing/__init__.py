"""The verb `list`.

command   options, and the way from them to an answer
table     what a terminal shows
json      what a program reads
"""
