"""Datagrams may overtake one another: wait for a few before a gap is believed."""

from __future__ import annotations

from typing import Final

from acula_edge.sources.link import AudioPacket

_DEPTH: Final = 4


class Reorder:
    """Holds up to `depth` packets that lie beyond a gap until it closes; 0 holds none."""

    def __init__(self, depth: int = _DEPTH) -> None:
        self._depth = depth
        self._next: int | None = None
        self._held: list[AudioPacket] = []

    def push(self, packet: AudioPacket) -> list[AudioPacket]:
        """Packets that are due, ascending from where the last ended unless they came too late."""
        if self._next is None or packet.sample_index <= self._next:
            return [self._pass(packet), *self._due()]
        self._held.append(packet)
        self._held.sort(key=lambda held: held.sample_index)
        if len(self._held) <= self._depth:
            return []
        return [self._pass(self._held.pop(0)), *self._due()]

    def flush(self) -> list[AudioPacket]:
        """All that is held, ascending; the next packet begins anew."""
        held, self._held, self._next = self._held, [], None
        return held

    def _due(self) -> list[AudioPacket]:
        due = []
        while self._held and self._next is not None and self._held[0].sample_index <= self._next:
            due.append(self._pass(self._held.pop(0)))
        return due

    def _pass(self, packet: AudioPacket) -> AudioPacket:
        end = packet.sample_index + len(packet.pcm)
        self._next = end if self._next is None else max(self._next, end)
        return packet
