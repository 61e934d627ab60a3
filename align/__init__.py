"""Post-training of audio encoders against a medical language model: data sets, folds, training, probes."""
