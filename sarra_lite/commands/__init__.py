"""One module a command: its command line, its main loop, its exit status."""
