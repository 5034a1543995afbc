"""The table of slow tests names tests that are there."""

import re
from pathlib import Path

from tests.slow import SLOW

REPOSITORY = Path(__file__).parent.parent


def test_every_name_is_of_a_test():
    for entry in SLOW:
        path, _, name = entry.partition("::")
        assert (REPOSITORY / path).exists(), entry
        assert not name or re.search(rf"^ *def {name}\(", (REPOSITORY / path).read_text(), flags=re.MULTILINE), entry
