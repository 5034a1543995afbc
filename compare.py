"""Compare the SAE feature spaces of two language models: python compare.py layer_a=3 layer_b=6"""

from omegaconf import DictConfig

from analogue.cli.run import finished_before, run
from analogue.cli.schema import CompareConfig


def compare(cfg: DictConfig) -> None:
    if finished_before(cfg):
        return
    from analogue.comparison.run import compare

    compare(cfg)


if __name__ == "__main__":
    run(compare, config_path="conf", config_name="compare", schema=CompareConfig)
