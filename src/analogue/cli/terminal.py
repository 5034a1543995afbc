"""Printing that never fails a run: a terminal may be closed, its disk full, or its encoding without a character."""

import os
import sys
from contextlib import suppress
from typing import Any


class PatientStream:
    """A text stream that goes silent where writing to it fails: `| head -1`, `> /dev/full`, a closed terminal."""

    def __init__(self, stream: Any, name: str) -> None:
        self._stream, self._name = stream, name
        with suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # LC_ALL=C, or half a surrogate pair in a name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, if anything still reads it."""
        try:
            written: int = self._stream.write(text)
        except (OSError, ValueError) as error:
            self._go_silent(error)
            return len(text)
        return written

    def flush(self) -> None:
        """Flush likewise: this is where a full disk or a closed pipe shows."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._go_silent(error)

    def _go_silent(self, error: Exception) -> None:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())  # what is buffered goes there too
        if self._name == "stdout" and isinstance(error, OSError):
            reason = error.strerror or error
            print(
                f"warning: standard output takes nothing ({reason}); the files are written all the same",
                file=sys.stderr,
            )


def print_patiently() -> None:
    """Let no failing `print` end the process."""
    sys.stdout = PatientStream(sys.stdout, "stdout")
    sys.stderr = PatientStream(sys.stderr, "stderr")
