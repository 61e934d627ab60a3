"""The link: sound, clock and results of a stethoscope, packet by packet, to the host.

`README.md` in this folder is the specification. Import the module you need: `open` makes a source
of `acula-edge listen`, `receiver` decodes bytes, `simulate` is a device.
"""
