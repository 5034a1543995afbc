"""The shell: everything that knows Hydra, OmegaConf or a configuration key."""
