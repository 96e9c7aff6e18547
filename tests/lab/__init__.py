"""The real services that tests, demo and bench use, each private to the one who starts it."""


class LabError(Exception):
    """A service did not do what was asked; the text holds the end of its log."""


class Unavailable(LabError):
    """The service cannot run on this machine: a package or a privilege is missing."""
