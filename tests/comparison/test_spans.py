"""Two models with different tokenizers, compared on the spans of text that both tokenisations respect."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sae_lens import TopKSAE, TopKSAEConfig
from transformers import AutoTokenizer, ByT5Tokenizer, GPTNeoXConfig, GPTNeoXForCausalLM

from analogue.comparison import TokenisedCorpus
from analogue.corpus import read_texts, tokenise_aligned
from analogue.embedded import ASSETS
from analogue.errors import UserError
from analogue.results import ComparisonResult
from tests.corpus.other_tokenizers import byte_level, metaspace
from tests.processes import COMPARE, run_ranks

TOKENIZERS = {
    "byte level": lambda: byte_level(list(read_texts("embedded:stories/validation.parquet")), 1000),
    "metaspace": metaspace,
}


def write_model(directory, tokenizer, d_model=16):
    """A GPT-NeoX model of random weights and an untrained SAE; returns the settings to compare it as B."""
    torch.manual_seed(0)
    shape = {"hidden_size": d_model, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    model = GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=len(tokenizer), max_position_embeddings=256, **shape))
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    sae = TopKSAE(TopKSAEConfig(d_in=d_model, d_sae=64, k=8))
    torch.nn.init.normal_(sae.W_enc)
    sae.save_model(directory / "layer_1")
    return (f"model_b.name={directory}", f"sae_b.path={directory}/layer_1", "layer_b=1")


@pytest.fixture(scope="module", params=TOKENIZERS)
def other_model(request, tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"), TOKENIZERS[request.param]())


def numbers(result):
    """What must not depend on how tokens were carried to spans."""
    return json.dumps([result.similarity, result.funnel, result.correlation, result.concepts])


def test_with_one_tokenizer_spans_change_nothing(compare, tmp_path):
    plain = compare("concepts=paper", "concepts.n=3")
    pairs = (tmp_path / "run" / "pairs.parquet").read_bytes()
    for aggregation in ("max", "mean", "last"):
        spans = compare("concepts=paper", "concepts.n=3", "alignment=spans", f"alignment.aggregation={aggregation}")
        assert numbers(spans) == numbers(plain)
        assert spans.corpus == plain.corpus
        assert (tmp_path / "run" / "pairs.parquet").read_bytes() == pairs


@pytest.mark.parametrize("exclude_bos", ["false", "true"])
def test_tokenizers_that_cut_alike_give_the_plain_result_through_spans(compare, tmp_path, exclude_bos):
    """One has an entry that never occurs: other contents, the same tokens; they then are the spans."""
    texts = [text for text in read_texts("embedded:stories/heldout.parquet") if text.isascii()][:12]
    (tmp_path / "ascii.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    data = (f"data.path={tmp_path}/ascii.jsonl", "data.packing=false", "cache=off", f"data.exclude_bos={exclude_bos}")
    plain = compare(*data)
    folder = shutil.copytree(ASSETS / "stories-12", tmp_path / "model")
    contents = json.loads((folder / "tokenizer.json").read_text())
    contents["model"]["vocab"]["never-read"] = 3072
    (folder / "tokenizer.json").write_text(json.dumps(contents))
    for aggregation in ("max", "mean", "last"):
        override = ("alignment=spans", f"alignment.aggregation={aggregation}", f"model_b.name={folder}")
        spans = compare(*data, *override)
        assert numbers(spans) == numbers(plain)
        assert spans.corpus.spans.n_spans == plain.corpus.n_tokens == spans.corpus.spans.n_tokens_b


def test_another_tokenizer_end_to_end(compare, other_model, tmp_path):
    settings = ("alignment=spans", "filters=none", "concepts=paper", "concepts.n=3", f"cache.dir={tmp_path}/cache")
    first = compare(*other_model, *settings)
    pairs = pq.read_table(tmp_path / "run" / "pairs.parquet")
    again = compare(*other_model, *settings)
    assert (first.n_model_passes, again.n_model_passes) == (2, 0)
    assert numbers(again) == numbers(first)
    text = "".join(read_texts("embedded:stories/heldout.parquet"))
    strings = {token for side in "ab" for tokens in pairs[f"top_tokens_{side}"].to_pylist() for token in tokens}
    assert strings
    assert all(string in text for string in strings)
    assert "<|endoftext|>" not in strings
    corpus = first.corpus
    assert corpus.spans.n_spans <= min(corpus.n_tokens, corpus.spans.n_tokens_b)
    assert corpus.tokens_sha256 != corpus.spans.tokens_sha256_b
    assert max(pairs["n_active_a"].to_pylist()) <= corpus.spans.n_spans
    assert len(first.concepts) > 5
    assert ComparisonResult.from_json(first.to_json()) == first


def test_both_directions_and_every_aggregation_pair_all_that_fires(compare, other_model, tmp_path):
    means = set()
    for aggregation in ("max", "mean", "last"):
        for direction, side in (("a_to_b", "a"), ("b_to_a", "b")):
            settings = (f"alignment.aggregation={aggregation}", f"matching.direction={direction}", "filters=none")
            result = compare(*other_model, "alignment=spans", *settings)
            pairs = pq.read_table(tmp_path / "run" / "pairs.parquet")
            assert len(set(pairs[f"feature_{side}"].to_pylist())) == len(pairs) == result.funnel[0]["n_pairs"] > 40
            assert (pairs["n_active_a"].to_numpy() >= 1).all()
            means.add(result.correlation["mean"])
    assert len(means) == 6


def test_ranks_agree_with_one_process(compare, tmp_path):
    model = write_model(tmp_path / "model", byte_level())
    small = ("data.n_sequences=7", "data.seq_len=80", "null.n=9", "metrics=[rsa]")  # seven sequences over two ranks
    settings = (*model, "alignment=spans", "filters=none", "cache=off", "trainer.accelerator=cpu", *small)
    one = compare(*settings)
    run_ranks(2, COMPARE, *settings, "hydra.run.dir=two", "logger=none", cwd=tmp_path)
    two = ComparisonResult.from_json((tmp_path / "two" / "result.json").read_text())
    assert (two.corpus, two.funnel) == (one.corpus, one.funnel)
    assert two.similarity[0]["score"] == pytest.approx(one.similarity[0]["score"], abs=1e-6)


def test_a_space_read_through_other_tokens_is_still_found(compare, tmp_path):
    """A model whose vocabulary is another's in another order: every token has another id, no feature changes."""
    folder = shutil.copytree(ASSETS / "stories-6", tmp_path / "model")
    contents = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = contents["model"]["vocab"]
    contents["model"]["vocab"] = {entry: len(vocabulary) - 1 - i for entry, i in vocabulary.items()}
    for added in contents["added_tokens"]:
        added["id"] = contents["model"]["vocab"][added["content"]]
    (folder / "tokenizer.json").write_text(json.dumps(contents))
    model = GPTNeoXForCausalLM.from_pretrained(folder)
    model.gpt_neox.embed_in.weight.data = model.gpt_neox.embed_in.weight.data.flip(0).contiguous()
    model.save_pretrained(folder)
    assert AutoTokenizer.from_pretrained(folder).eos_token_id == len(vocabulary) - 1
    often = ("filters=none", "filters.minimum_firing_count=10")  # features that fire once, on one token, are alike
    result = compare("sae_b=stories_6", "layer_b=3", f"model_b.name={folder}", *often, "alignment=spans")
    pairs = pq.read_table(tmp_path / "run" / "pairs.parquet")
    pairs = pairs.filter(pairs["kept"])
    assert len(pairs) > 200
    assert pairs["feature_a"].to_pylist() == pairs["feature_b"].to_pylist()
    np.testing.assert_allclose(pairs["correlation"].to_numpy(), 1, atol=1e-3)
    assert all(entry["score"] == pytest.approx(1, abs=1e-6) for entry in result.similarity)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ((), "model_b.name=.* token by token: choose two models that share one, or alignment=spans"),
        (("alignment=spans", "data.count_padding=true"), "data.count_padding=True: counts padding"),
    ],
)
def test_what_cannot_be_is_told_in_one_sentence(compare, other_model, tmp_path, overrides, told):
    with pytest.raises(UserError, match=told) as error:
        compare(*other_model, *overrides)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_text_without_a_common_boundary_is_told(compare, tmp_path):
    (tmp_path / "text.txt").write_text("\U0001f642\U0001f643")
    model = write_model(tmp_path / "model", metaspace())
    with pytest.raises(UserError, match="has no piece of at most 2 tokens"):
        compare(*model, "alignment=spans", f"data.path={tmp_path}/text.txt", "data.seq_len=2")


def test_a_tokenizer_that_cannot_tell_where_its_tokens_stand_is_refused(compare, tmp_path):
    model = write_model(tmp_path / "model", ByT5Tokenizer(extra_ids=0))
    with pytest.raises(UserError, match="alignment=spans needs a fast one"):
        compare(*model, "alignment=spans")


def with_tokenizer(directory, tokenizer):
    """stories-12 that reads other tokens, which mean nothing to it, and its SAE."""
    shutil.copytree(ASSETS / "stories-12", directory, dirs_exist_ok=True)
    tokenizer.save_pretrained(directory)
    return f"model_b.name={directory}", "alignment=spans", "transfer.fit_sequences=60", "transfer.loss_sequences=2"


def test_maps_between_models_of_different_tokenizers_are_fitted_on_spans(compare, tmp_path):
    texts = list(read_texts("embedded:stories/validation.parquet"))
    settings = with_tokenizer(tmp_path / "model", byte_level(texts, 2000))
    found = compare(*settings, "transfer=maps").transfer
    other = compare(*settings, "transfer=maps", "alignment.aggregation=mean").transfer
    assert found["maps"] == other["maps"]  # of the last tokens of spans, however activations are aggregated
    assert abs(found["maps"]["a_to_b"]["shuffled"]) < 0.1 < found["maps"]["a_to_b"]["explained_variance"]
    assert found["dictionaries"]["a_on_b"]["cross_entropy_recovered"]["own"] is not None
    assert found["features_abroad"]["a_on_b"]["correlation"] > 0.05


def test_interventions_compare_the_tokens_that_vocabularies_share(compare, tmp_path):
    texts = list(read_texts("embedded:stories/validation.parquet"))
    settings = with_tokenizer(tmp_path / "model", byte_level(texts, 3000))
    filters = ("filters=none", "transfer.n_pairs=3", "transfer.n_contexts=4")
    found = compare(*settings, *filters, "transfer=interventions").transfer
    assert found["interventions"]["n_pairs"] == 3
    assert -1 < found["interventions"]["steering"]["partner"]["correlation"] < 1


def test_too_few_shared_tokens_are_counted(compare, tmp_path):
    settings = with_tokenizer(tmp_path / "other", byte_level(["a few words of text"], 300))
    told = r"model_b.name=.*: shares \d+ tokens with embedded:stories-6 \(model_a.name\)"
    with pytest.raises(UserError, match=told):
        compare(*settings, "filters=none", "transfer=interventions")


def test_streams_meet_at_the_last_tokens_of_spans():
    tokenizers = [AutoTokenizer.from_pretrained(ASSETS / "stories-12"), byte_level(vocabulary_size=300)]
    texts = list(read_texts("embedded:stories/validation.parquet"))[:6]
    aligned = tokenise_aligned(texts, *tokenizers, 5, 60, packing=True)
    text = TokenisedCorpus({"a": aligned.a, "b": aligned.b}, aligned)
    later = text.from_sequence(2)
    assert later.n_units == aligned.n_spans_of_sequence[2:].sum()
    assert later.aligned.texts == aligned.texts[-later.n_units :]
    for each in (text, later):
        for label, tokenizer in zip("ab", tokenizers, strict=True):
            tokens = each.sequences[label]
            for unit in range(0, each.n_units, 7):
                sequence, position = divmod(int(each.places(label)[unit]), tokens.seq_len)
                read = tokenizer.decode(tokens.ids[sequence, : position + 1], clean_up_tokenization_spaces=False)
                assert read.endswith(each.aligned.texts[unit])
