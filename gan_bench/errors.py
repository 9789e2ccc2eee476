"""Errors that a user can act on. Each message is one sentence: what, where and the remedy."""

from __future__ import annotations


class UserError(Exception):
    """Something the user gave cannot be used; the command line prints it and exits with code 2."""


class DataError(UserError):
    """A dataset is missing, damaged or too small for what is asked of it."""


class SuiteError(UserError):
    """A suite file or a plan made from it is not valid."""


class RecordError(UserError):
    """A record directory cannot be read as what it claims to be."""
