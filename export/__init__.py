"""From recordings to a model bundle: train or distil the student, quantise, calibrate, export, measure."""
