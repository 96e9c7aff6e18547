"""The commands, one module for each: command line, main loop, exit status."""
