"""Compare the SAE feature spaces of two language models: python compare.py layer_a=3 layer_b=6."""

from analogue.cli.compare import main

if __name__ == "__main__":
    main()
