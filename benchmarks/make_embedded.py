"""Make the embedded corpus, tokenizer and language models, and a variant with another tokenizer.

    python -m benchmarks.make_embedded corpus STORIES.jsonl
    python -m benchmarks.make_embedded model stories-6
    python -m benchmarks.make_embedded model stories-12
    python -m benchmarks.make_embedded retokenised OUTPUT

`corpus` cleans, splits and compresses stories (one JSON object per line, with the key `text`) and trains the shared
tokenizer on the training part. `model` trains one of the two models on that part and writes it in ordinary
`transformers` format. Both write under `assets/`. Training stops when the validation loss has stopped falling; the best
epoch is kept. Progress, validation losses and samples are printed.

`retokenised` trains `stories-6` once more, with the same settings but on a BPE of half as many entries and for fewer
epochs, for comparisons with `alignment=spans`. OUTPUT then holds a `transformers` model with its tokenizer.
"""

import argparse
import json
import random
import tempfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import lightning as L
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import (
    AutoTokenizer,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from analogue.embedded import ASSETS

SPLIT_SEED = 0
N_VALIDATION = 300  # language models stop training by these
N_HELDOUT = 400  # comparisons read these; no model or SAE has seen them
MIN_CHARACTERS = 200
MAX_COMPRESSION = 3.2  # a story that zlib shrinks further than this repeats itself
VOCABULARY_SIZE = 3072
RETOKENISED_VOCABULARY_SIZE = 1536
RETOKENISED_EPOCHS = 6
END_OF_TEXT = "<|endoftext|>"
CONTEXT_LENGTH = 512
PROMPTS = ("Once upon a time", "The little dog", "In the winter")


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


@dataclass(frozen=True)
class Recipe:
    """Architecture and training settings of one embedded model."""

    d_model: int
    n_layers: int
    n_heads: int
    seed: int
    learning_rate: float
    max_epochs: int
    batch_size: int = 8
    window: int = 320
    hidden_dropout: float = 0.1
    weight_decay: float = 0.1
    warmup_steps: int = 100
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed"


RECIPES = {
    "stories-6": Recipe(d_model=96, n_layers=6, n_heads=6, seed=6, learning_rate=3e-3, max_epochs=13),
    "stories-12": Recipe(d_model=128, n_layers=12, n_heads=8, seed=12, learning_rate=2e-3, max_epochs=9),
}


class TokenWindows(Dataset[Tensor]):
    """Windows of one long token stream; the training windows start at a random offset each time."""

    def __init__(self, tokens: Tensor, length: int, jitter: bool) -> None:
        self.tokens, self.length, self.jitter = tokens, length, jitter

    def __len__(self) -> int:
        return len(self.tokens) // self.length - 1

    def __getitem__(self, index: int) -> Tensor:
        offset = int(torch.randint(self.length, ())) if self.jitter else 0
        start = index * self.length + offset
        return self.tokens[start : start + self.length]


class CausalLanguageModel(L.LightningModule):
    """Next-token cross-entropy with AdamW, linear warm-up and cosine decay."""

    def __init__(self, model: GPTNeoXForCausalLM, recipe: Recipe) -> None:
        super().__init__()
        self.model, self.recipe = model, recipe

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss = self.model(input_ids=batch, labels=batch).loss
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        loss = self.model(input_ids=batch, labels=batch).loss
        self.log("validation_loss", loss, prog_bar=True, batch_size=len(batch))

    def on_validation_epoch_end(self) -> None:
        print(f"epoch {self.current_epoch}: {dict(self.trainer.callback_metrics)}", flush=True)

    def configure_optimizers(self):  # type: ignore[no-untyped-def]
        recipe = self.recipe
        optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.95)
        )
        total = int(self.trainer.estimated_stepping_batches)
        warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=recipe.warmup_steps)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total - recipe.warmup_steps)
        schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, decay], [recipe.warmup_steps])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def build_model(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> GPTNeoXForCausalLM:
    """A freshly initialised GPT-NeoX model with tied embeddings."""
    return GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=len(tokenizer),
            hidden_size=recipe.d_model,
            num_hidden_layers=recipe.n_layers,
            num_attention_heads=recipe.n_heads,
            intermediate_size=4 * recipe.d_model,
            max_position_embeddings=CONTEXT_LENGTH,
            rotary_pct=0.5,  # type: ignore[call-arg]
            hidden_dropout=recipe.hidden_dropout,
            attention_dropout=0.0,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.eos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def token_stream(part: str, tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """All stories of one part as one stream, an end-of-text token before each."""
    texts = pq.read_table(ASSETS / "stories" / f"{part}.parquet")["text"].to_pylist()
    ids: list[int] = []
    for story in tokenizer(texts)["input_ids"]:
        ids += [tokenizer.eos_token_id, *story]
    return torch.tensor(ids)


def train(recipe: Recipe, tokenizer: PreTrainedTokenizerBase, output: Path) -> float:
    """Train a model, save it in half precision with its tokenizer, return its validation loss."""
    L.seed_everything(recipe.seed)
    model = build_model(recipe, tokenizer)
    train_windows = TokenWindows(token_stream("train", tokenizer), recipe.window, jitter=True)
    validation_windows = TokenWindows(token_stream("validation", tokenizer), recipe.window, jitter=False)
    with tempfile.TemporaryDirectory() as folder:
        best = ModelCheckpoint(folder, monitor="validation_loss")
        trainer = L.Trainer(
            accelerator="cpu",
            precision=recipe.precision,
            max_epochs=recipe.max_epochs,
            gradient_clip_val=1.0,
            logger=False,
            callbacks=[best, EarlyStopping("validation_loss", patience=3)],
            enable_progress_bar=False,
        )
        module = CausalLanguageModel(model, recipe)
        trainer.fit(
            module,
            DataLoader(train_windows, batch_size=recipe.batch_size, shuffle=True),
            DataLoader(validation_windows, batch_size=16),
        )
        module.load_state_dict(torch.load(best.best_model_path, weights_only=True)["state_dict"])
        loss = float(trainer.validate(module, DataLoader(validation_windows, batch_size=16))[0]["validation_loss"])
    model.half().save_pretrained(output)
    tokenizer.save_pretrained(output)
    return loss


def sample(name: str, prompt: str, n_tokens: int = 60) -> str:
    """Continue `prompt` with the saved model at temperature 0.7."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / name)
    model = GPTNeoXForCausalLM.from_pretrained(ASSETS / name, dtype=torch.float32)
    ids = torch.tensor([[tokenizer.eos_token_id, *tokenizer(prompt)["input_ids"]]])
    out = model.generate(  # type: ignore[misc]
        ids, max_new_tokens=n_tokens, do_sample=True, temperature=0.7, top_p=0.95
    )
    return str(tokenizer.decode(out[0, 1:]))


def make_corpus(stories: Path) -> None:
    """Write the parts of the corpus and the tokenizer under `assets/`; the same stories give the same files."""
    lines = stories.read_text(encoding="utf-8").splitlines()
    parts = split(clean([json.loads(line)["text"] for line in lines]))
    (ASSETS / "stories").mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        table = pa.table({"text": pa.array(part, pa.string())})
        pq.write_table(table, ASSETS / "stories" / f"{name}.parquet", compression="zstd", compression_level=22)
        print(f"{name}: {len(part)} stories, {sum(map(len, part))} characters")
    train_tokenizer(parts["train"]).save_pretrained(ASSETS / "tokenizer")


def make_model(name: str) -> None:
    """Train an embedded model."""
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / "tokenizer")
    print(f"{name}: validation loss {train(RECIPES[name], tokenizer, ASSETS / name):.4f} nats per token")
    for prompt in PROMPTS:
        print("  -", sample(name, prompt).replace("\n", " "))


def make_retokenised(output: Path, epochs: int, precision: Literal["bf16-mixed", "32-true"]) -> None:
    """Train `stories-6` on another tokenizer."""
    texts = pq.read_table(ASSETS / "stories" / "train.parquet")["text"].to_pylist()
    tokenizer = train_tokenizer(texts, RETOKENISED_VOCABULARY_SIZE)
    recipe = replace(RECIPES["stories-6"], max_epochs=epochs, precision=precision)
    print(f"validation loss {train(recipe, tokenizer, output):.4f} nats per token")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(required=True)
    corpus = what.add_parser("corpus")
    corpus.add_argument("stories", type=Path)
    corpus.set_defaults(make=make_corpus)
    model = what.add_parser("model")
    model.add_argument("name", choices=list(RECIPES))
    model.set_defaults(make=make_model)
    other = what.add_parser("retokenised")
    other.add_argument("output", type=Path)
    other.add_argument("--epochs", type=int, default=RETOKENISED_EPOCHS)
    precision = "32-true on CPUs without bfloat16"
    other.add_argument("--precision", choices=["bf16-mixed", "32-true"], default="bf16-mixed", help=precision)
    other.set_defaults(make=make_retokenised)
    arguments = vars(parser.parse_args())
    arguments.pop("make")(**arguments)


if __name__ == "__main__":
    main()
