"""Ways to carry a link's bytes. Each file is one; `base` is what they have in common."""
