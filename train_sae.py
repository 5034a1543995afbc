"""Train sparse autoencoders on a language model's residual stream: python train_sae.py layers=[3]"""

import gc

import hydra
from omegaconf import DictConfig

import analogue.training.config  # registers the schema  # noqa: F401
from analogue.command_line import Outcome, quote_layer_placeholders

outcome = Outcome()


def train(cfg: DictConfig) -> None:
    from analogue.training.run import train_saes

    train_saes(cfg)
    gc.collect()  # trainer and module refer to each other: a multirun would keep each job's language model


if __name__ == "__main__":
    quote_layer_placeholders()
    hydra.main(config_path="conf/training", config_name="train_sae", version_base="1.3")(outcome.reported(train))()
    outcome.exit()
