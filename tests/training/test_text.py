"""As much text as training needs, and no more."""

import numpy as np
import pytest

from analogue.corpus import tokenise, without_bos, without_special
from analogue.models import open_model
from analogue.settings import Text
from analogue.training.datamodule import tokenised
from tests.training.test_start import plan

TEXTS = tuple(f"Once there were {n} dogs. " + "They ran and ran. " * (n % 7) for n in range(900))


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("excluding", [{}, {"exclude_bos": True}, {"exclude_special": True}])
@pytest.mark.parametrize("n_tokens", [1, 640, 5000, 10**6])
def test_sequences_suffice_and_without_the_last_would_not(packing, excluding, n_tokens):
    model = open_model("embedded:stories-6")
    found = tokenised(Text(TEXTS), model, plan(10**6, seq_len=32, packing=packing, **excluding), n_tokens)
    every = tokenise(TEXTS, model.tokenizer, 10**6, 32, packing)
    for name, rule in (("exclude_bos", without_bos), ("exclude_special", without_special)):
        every = rule(every, model.tokenizer) if name in excluding else every
    for name in ("ids", "mask", "counted"):
        np.testing.assert_array_equal(getattr(found, name), getattr(every[: found.n_sequences], name))
    if n_tokens == 10**6:
        assert found.n_sequences == every.n_sequences
    else:
        assert found[:-1].n_tokens <= n_tokens < found.n_tokens


def test_a_text_is_tokenised_once_and_as_far_as_needed(monkeypatch):
    tokenised_texts = []

    def read_texts(path, **where):
        for text in path:
            tokenised_texts.append(text)
            yield text

    monkeypatch.setattr("analogue.training.datamodule.read_texts", read_texts)
    asked = plan(10**6, seq_len=32, packing=False, exclude_bos=True)
    found = tokenised(Text(TEXTS), open_model("embedded:stories-6"), asked, 2000)
    assert found.n_sequences <= len(tokenised_texts) < 600
    assert len(set(tokenised_texts)) == len(tokenised_texts)
