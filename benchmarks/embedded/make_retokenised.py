"""Train `stories-6` once more on a tokenizer of another size, for comparisons with `alignment=spans`.

    python -m benchmarks.embedded.make_retokenised OUTPUT

The same stories, architecture, seed and training settings as `stories-6`, but a BPE of half as many entries, trained
on the same text, and fewer epochs. OUTPUT then holds an ordinary `transformers` model with its tokenizer.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from analogue.embedded import ASSETS
from benchmarks.embedded.make_corpus import train_tokenizer
from benchmarks.embedded.make_language_models import RECIPES, train

VOCABULARY_SIZE = 1536
MAX_EPOCHS = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--epochs", type=int, default=MAX_EPOCHS)
    parser.add_argument(
        "--precision", choices=["bf16-mixed", "32-true"], default="bf16-mixed", help="32-true on CPUs without bfloat16"
    )
    arguments = parser.parse_args()
    texts = pq.read_table(ASSETS / "stories" / "train.parquet")["text"].to_pylist()
    tokenizer = train_tokenizer(texts, VOCABULARY_SIZE)
    recipe = replace(RECIPES["stories-6"], max_epochs=arguments.epochs, precision=arguments.precision)
    print(f"validation loss {train(recipe, tokenizer, arguments.output):.4f} nats per token")


if __name__ == "__main__":
    main()
