"""Train sparse autoencoders on a language model's residual stream: python train_sae.py layers=[3]"""

import gc

from omegaconf import DictConfig

from analogue.cli.conf import TRAIN_SAE
from analogue.cli.run import run


def train(cfg: DictConfig) -> None:
    from analogue.training.run import train_saes

    train_saes(cfg)
    gc.collect()  # trainer and module refer to each other: a multirun would keep each job's language model


if __name__ == "__main__":
    run(train, TRAIN_SAE)
