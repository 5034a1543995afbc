"""Compare the SAE feature spaces of two language models: python compare.py layer_a=3 layer_b=6"""

from omegaconf import DictConfig

from analogue.command_line import finished_before, run
from analogue.comparison.config import CompareConfig


def compare(cfg: DictConfig) -> None:
    if finished_before(cfg):
        return
    from analogue.comparison.run import compare

    compare(cfg)


if __name__ == "__main__":
    run(compare, config_path="conf", config_name="compare", schema=CompareConfig)
