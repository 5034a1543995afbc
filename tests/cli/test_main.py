"""The command `analogue` before any of its commands runs."""

import pytest

import analogue
from analogue.cli.main import main


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_a_line(monkeypatch, capsys, option):
    monkeypatch.setattr("sys.argv", ["analogue", option])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"analogue {analogue.__version__}\n"
