"""The stand-in for the tls plugin, over `cryptography`."""
