"""The parts of a stack: its settings, an SSH key pair, and an IAM user with an access key."""
