"""Train the two embedded language models, `stories-6` and `stories-12`, on the embedded training stories.

    python -m benchmarks.embedded.make_language_models stories-6
    python -m benchmarks.embedded.make_language_models stories-12

Each is a GPT-NeoX model in ordinary `transformers` format under `assets/`. Training stops when the validation loss
has stopped falling; the best epoch is kept. Progress, validation losses and samples are printed.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import lightning as L
import pyarrow.parquet as pq
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import AutoTokenizer, GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerBase

from analogue.embedded import ASSETS

CONTEXT_LENGTH = 512
PROMPTS = ("Once upon a time", "The little dog", "In the winter")


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=list(RECIPES))
    name = parser.parse_args().name
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / "tokenizer")
    print(f"{name}: validation loss {train(RECIPES[name], tokenizer, ASSETS / name):.4f} nats per token")
    for prompt in PROMPTS:
        print("  -", sample(name, prompt).replace("\n", " "))


if __name__ == "__main__":
    main()
