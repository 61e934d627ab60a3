"""Other people's streaming models, run the way their users run them."""
