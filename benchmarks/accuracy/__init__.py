"""Accuracy of a bundle's artefacts on prepared corpora, through the path that runs live."""
