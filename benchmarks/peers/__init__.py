"""Other people's models and front ends, run the way their users run them, in turn with ours."""
