"""Train sparse autoencoders on a language model's residual stream: python train_sae.py layers=[3]."""

from analogue.cli.train_sae import main

if __name__ == "__main__":
    main()
