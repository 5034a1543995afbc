"""Shows results: tables, figures, a page for the browser, W&B."""
