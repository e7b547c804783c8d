"""One module a command, with ``run(arguments)``, which gives the exit status."""
