"""Data sets and folds; the post-training of encoders against a language model comes here."""
