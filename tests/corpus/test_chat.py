"""Chats: read from every format, written by the tokenizer's template, compared on its tokens."""

import copy
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoModelForCausalLM

import analogue
from analogue.corpus import chat_texts, read_texts, tokenise
from analogue.embedded import ASSETS
from analogue.models import open_model

CHATS = [
    [{"role": "user", "content": f"Tell me of {name}."}, {"role": "assistant", "content": f"{name} had a red dog."}]
    for name in ("Tom", "Lily", "Sam", "Anna")
]
TEMPLATE = (
    "{% if messages[0]['role'] != 'user' %}{{ raise_exception('a user begins') }}{% endif %}"
    "{% for each in messages %}{{ '<|endoftext|>' + each['role'] + ': ' + each['content'] + '\n' }}{% endfor %}"
)
SMALL = {"null": analogue.Null(n=5), "device": "cpu", "progress": False, "metrics": ["rsa"]}


@pytest.fixture(scope="module")
def tokenizer():
    with_template = copy.deepcopy(open_model("embedded:stories-6").tokenizer)
    with_template.chat_template = TEMPLATE
    return with_template


def written(chat):
    return "".join(f"<|endoftext|>{each['role']}: {each['content']}\n" for each in chat)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", None])
def test_messages_become_the_text_of_the_template(tmp_path, tokenizer, suffix):
    if suffix == "jsonl":
        (tmp_path / "a.jsonl").write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in [*CHATS, [], None]))
    elif suffix == "parquet":
        pq.write_table(pa.table({"messages": [*CHATS, None]}), tmp_path / "a.parquet")
    documents = read_texts(tmp_path / f"a.{suffix}" if suffix else CHATS, column="messages", chat=True)
    assert [*chat_texts(documents, tokenizer)] == [written(chat) for chat in CHATS]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jsonl", '{"text": "hello"}', r"line 1 holds no list of messages with role and content under 'text'"),
        ("a.jsonl", '{"text": [{"from": "human", "value": "hello"}]}', "line 1 holds no list of messages"),
        ("a.txt", "hello", "it holds no messages; `chat` reads"),
    ],
)
def test_what_is_no_chat_is_refused(tmp_path, name, content, told):
    (tmp_path / name).write_text(content)
    with pytest.raises(analogue.Unavailable, match=told):
        read_texts(tmp_path / name, chat=True)


def test_messages_that_the_template_refuses_are_named(tokenizer):
    documents = read_texts([CHATS[0], CHATS[1][1:]], chat=True)
    with pytest.raises(analogue.InvalidArgument, match=r"^chat=True: fails on document 2, .*a user begins"):
        [*chat_texts(documents, tokenizer)]


def test_no_token_is_added_to_those_of_the_template(tokenizer):
    texts = [*chat_texts(read_texts(CHATS, chat=True), tokenizer)]
    sequences = tokenise(texts, tokenizer, 9, 40, packing=False, add_special_tokens=False)
    assert (sequences.ids == tokenizer.eos_token_id)[sequences.mask].sum() == 2 * len(CHATS)


def test_chats_are_compared(tokenizer):
    models = [AutoModelForCausalLM.from_pretrained(ASSETS / name) for name in ("stories-6", "stories-12")]
    a = analogue.Side(models[0], 3, "embedded:stories-6-saes/layer_3", tokenizer=tokenizer)
    b = analogue.Side(
        models[1], 6, "embedded:stories-12-saes/layer_6", tokenizer=open_model("embedded:stories-12").tokenizer
    )
    corpus = analogue.Corpus(CHATS, n_sequences=4, seq_len=40, chat=True, exclude_special=True)
    for sides in ((a, b), (b, a)):  # whichever has the template
        record = analogue.compare(*sides, corpus=corpus, **SMALL).record
        assert record.corpus.n_tokens == sum(len(tokenizer(written(chat))["input_ids"]) - 2 for chat in CHATS)
        assert record.corpus.excluded == {"special": {"a": 8, "b": 8}}
    with pytest.raises(analogue.InvalidArgument, match=r"^chat=True: needs a chat template, and neither"):
        analogue.compare(b, b, corpus=corpus, **SMALL)
