"""The argument parser of all commands."""

import argparse
from typing import NoReturn

from omnibase_infra.utils.util_sanitize import sanitize


class CommandParser(argparse.ArgumentParser):
    """A parser whose messages quote no secret: a DSN is easily given in the wrong place."""

    def error(self, message: str) -> NoReturn:
        """Print usage and the message, and exit with status 2."""
        super().error(sanitize(message))
