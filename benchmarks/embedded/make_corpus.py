"""Clean, split and compress the story corpus, and train the shared tokenizer on its training part.

    python -m benchmarks.embedded.make_corpus STORIES.jsonl

STORIES.jsonl holds one object a line with the key `text`. Written beside this file, under `assets/`:
`stories/train.parquet`, `stories/validation.parquet`, `stories/heldout.parquet` and `tokenizer/`.
The same input gives the same files.
"""

import argparse
import json
import random
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from analogue.embedded import ASSETS

SPLIT_SEED = 0
N_VALIDATION = 300  # language models stop training by these
N_HELDOUT = 400  # comparisons read these; no model or SAE has seen them
MIN_CHARACTERS = 200
MAX_COMPRESSION = 3.2  # a story that zlib shrinks further than this repeats itself
VOCABULARY_SIZE = 3072
END_OF_TEXT = "<|endoftext|>"


def clean(texts: list[str]) -> list[str]:
    """Drop short stories, exact duplicates and runaway repetition; keep the order."""
    kept = [text.strip() for text in dict.fromkeys(texts) if len(text.strip()) >= MIN_CHARACTERS]
    return [text for text in kept if _compression(text) <= MAX_COMPRESSION]


def split(texts: list[str], seed: int = SPLIT_SEED) -> dict[str, list[str]]:
    """Shuffle once and cut into `train`, `validation` and `heldout`."""
    shuffled = list(texts)
    random.Random(seed).shuffle(shuffled)
    validation_end = N_HELDOUT + N_VALIDATION
    return {
        "heldout": shuffled[:N_HELDOUT],
        "validation": shuffled[N_HELDOUT:validation_end],
        "train": shuffled[validation_end:],
    }


def train_tokenizer(texts: list[str], vocabulary_size: int = VOCABULARY_SIZE) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer whose end-of-text token is also its padding."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END_OF_TEXT, eos_token=END_OF_TEXT, pad_token=END_OF_TEXT
    )


def _compression(text: str) -> float:
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw, 9))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stories", type=Path)
    lines = parser.parse_args().stories.read_text(encoding="utf-8").splitlines()
    texts = clean([json.loads(line)["text"] for line in lines])
    parts = split(texts)
    (ASSETS / "stories").mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        table = pa.table({"text": pa.array(part, pa.string())})
        pq.write_table(table, ASSETS / "stories" / f"{name}.parquet", compression="zstd", compression_level=22)
        print(f"{name}: {len(part)} stories, {sum(map(len, part))} characters")
    train_tokenizer(parts["train"]).save_pretrained(ASSETS / "tokenizer")


if __name__ == "__main__":
    main()
