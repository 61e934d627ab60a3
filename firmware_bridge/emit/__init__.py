"""From a bundle to one folder of C: sources, tables, golden vectors, hashes."""

from firmware_bridge.emit.core import Exported, export_firmware

__all__ = ["Exported", "export_firmware"]
