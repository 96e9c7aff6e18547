"""Configuration of the commands: options, their declaration and checks, credentials and rules."""
