"""A whole stethoscope in QEMU: it hears a file, runs the exported model, and sends its results."""
