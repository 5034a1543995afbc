"""Find the features that many spaces have in common: python universality.py experiment=layers."""

from analogue.cli.universality import main

if __name__ == "__main__":
    main()
