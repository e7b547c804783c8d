"""A whole cloud on one machine, for a try-out, a demonstration or a test.

A sandbox is a directory with a home, a Pulumi home, a state backend and a copy of the project, and
an AWS beside it that is played by an emulator. Nothing in it touches the user's own home, Pulumi
or AWS, and all of it is gone afterwards. `python -m sandbox --help` says how to use it.

    engine/       finds the Pulumi CLI, or builds it from pinned Go modules
    emulator.py   starts AWS, and aws_server/ is what it starts
    plugins/      stand-ins for the Pulumi plugins that call AWS and make keys
    project.py    the copy of the project
    world.py      puts these together
    foreground.py, shell.py, demo.py
                  what to do in a world: run a command, look around, play the tour
"""
