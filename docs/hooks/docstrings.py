"""Docstrings as the site reads them: a doctest under "Example:" is code, as under "Examples:"."""

import re
from typing import Any

from griffe import Extension, Object


class Examples(Extension):
    """Name the section as griffe does, which takes the singular for a box of text."""

    def on_object(self, *, obj: Object, **others: Any) -> None:
        """Rename the section of one object's docstring."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^(\s*)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)
