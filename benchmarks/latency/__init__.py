"""Latency of one variant on one provider, on the machine at hand: see `measure`."""
