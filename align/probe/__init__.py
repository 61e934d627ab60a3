"""What frozen embeddings know: linear probes, retrieval, and the baselines they must beat."""
