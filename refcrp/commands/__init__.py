"""The commands of ``refcrp``, each with its part of the command line and what it does.

A module here has a function ``add(commands)``, which describes its commands to the parser; each names the
function that runs it, from the parsed options to an `Answer`. What few commands need (importers, the checker)
is imported when they run, so that the others start without it.
"""
