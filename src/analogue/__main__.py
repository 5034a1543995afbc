"""`python -m analogue` is the command `analogue`."""

from analogue.cli.main import main

if __name__ == "__main__":
    main()
