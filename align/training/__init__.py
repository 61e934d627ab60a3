"""Post-training: recipe, recordings in memory, batches, the step, the run and its record."""
