"""Trained SAEs are pushed to the hub, and taken from there by a comparison."""

import pytest

from tests.hub.conftest import Client

REPOSITORY = "somebody/saes"
PUSHED = ("sae_a=hub", f"sae_a.path='{REPOSITORY}:layer_{{layer}}'")


@pytest.fixture
def member(hub, home):
    """Somebody who has logged in."""
    process = Client(hub.endpoint, home, HF_TOKEN="hf_" + "a" * 34)
    yield process
    process.close()


def test_trained_saes_are_pushed_and_compared_from_the_hub(hub, member, home):
    assert member.train("upload=hub", f"upload.repository={REPOSITORY}") == {"saes": ["layer_1", "layer_3"]}
    pushed = hub.root / "models" / REPOSITORY
    files = sorted(path.relative_to(pushed).as_posix() for path in pushed.rglob("*") if path.is_file())
    assert files == [f"layer_{layer}/{name}" for layer in (1, 3) for name in ("cfg.json", "sae_weights.safetensors")]
    for name in files:
        assert (pushed / name).read_bytes() == (home / "saes" / name).read_bytes()
    answer = member.compare(*PUSHED)
    assert "record" in answer, answer
    record = answer["record"]
    assert record["side_a"]["sae"] == f"{REPOSITORY}:layer_3"
    assert record["side_a"]["d_sae"] == 192


@pytest.mark.parametrize(
    ("repository", "sentence"),
    [(REPOSITORY, "cannot be written to; log in with"), ("a/b/c", "is not the name of a repository")],
)
def test_who_may_not_write_learns_it_before_training(client, home, repository, sentence):
    answer = client.train("upload=hub", f"upload.repository={repository}", f"output_dir={home}/none")
    assert answer["kind"] == "UserError", answer
    assert answer["error"].startswith(f"upload.repository={repository}: {sentence}")
    assert not (home / "none").exists()
