"""How a model normalises the residual stream."""

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedModel

from analogue.models.loading import OWN_CODE, LanguageModel
from analogue.models.residual_stream import find_blocks


def uses_layer_norm(model: LanguageModel) -> bool:
    """Whether the blocks subtract the mean over d_model from what they read (LayerNorm), or do not (RMSNorm).

    The architecture is made without weights to look at it.
    """
    architecture: nn.Module
    if isinstance(model.source, PreTrainedModel):
        architecture = model.source
    else:
        config = AutoConfig.from_pretrained(model.source, revision=model.revision, **OWN_CODE)
        with torch.device("meta"):
            architecture = AutoModel.from_config(config, **OWN_CODE)
    block = find_blocks(architecture, model.n_layers)[0]
    return any(isinstance(module, nn.LayerNorm) for module in block.modules())
