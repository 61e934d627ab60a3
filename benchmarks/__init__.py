"""Latency against accuracy: what the runtime costs, measured side by side with its peers."""
