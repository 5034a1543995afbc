"""How the models and the text that ship with the package were made; see src/analogue/embedded/README.md."""
