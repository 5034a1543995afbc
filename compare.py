"""Compare the SAE feature spaces of two language models: python compare.py layer_a=3 layer_b=6"""

from omegaconf import DictConfig

from analogue.cli.run import run
from analogue.cli.schema import CompareConfig


def compare(cfg: DictConfig) -> None:
    from analogue.cli.resume import finished_before

    if finished_before(cfg):
        return
    from analogue.comparison.run import compare

    compare(cfg)


if __name__ == "__main__":
    run(compare, config_path="conf", config_name="compare", schema=CompareConfig)
