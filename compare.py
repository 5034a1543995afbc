"""Compare the SAE feature spaces of two language models: python compare.py layer_a=3 layer_b=6"""

import hydra
from omegaconf import DictConfig

import analogue.comparison.config  # registers the schema  # noqa: F401
from analogue.command_line import Outcome, finished_before, quote_layer_placeholders

outcome = Outcome()


def compare(cfg: DictConfig) -> None:
    if finished_before(cfg):
        return
    from analogue.comparison.run import compare

    compare(cfg)


if __name__ == "__main__":
    quote_layer_placeholders()
    hydra.main(config_path="conf", config_name="compare", version_base="1.3")(outcome.reported(compare))()
    outcome.exit()
