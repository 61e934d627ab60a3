"""Proof that an exported firmware folder computes what the Python reference computes.

`verify` compiles the folder for a core, runs it (in QEMU for Cortex-M) on golden vectors and
recordings, and compares every byte it answers.
"""
