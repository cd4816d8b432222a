"""The commands of `kregtools`, one file each.

A command is a module with `HELP`, one line for the list of commands; `add_arguments(parser)`; and `run(options)`, which
returns an exit status. Its docstring is what `kregtools COMMAND --help` says. It imports nothing slow at its top, so
that help comes at once and without a backend.
"""
