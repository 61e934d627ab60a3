"""From recordings to a model bundle: train the student, quantise, calibrate, measure."""
