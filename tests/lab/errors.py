"""The two ways in which a test ends that are no plain assertion."""


class Skip(Exception):
    """This case cannot run here; the text says why. The runner reports it as skipped."""


class LabTimeout(AssertionError):
    """A condition did not come true before its deadline; the text says which, and what was seen."""
