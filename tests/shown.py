"""Progress that keeps what it is told."""

from __future__ import annotations


class Shown:
    """Keeps the stages with their numbers of steps, the finished steps, and the notes."""

    def __init__(self):
        self.stages, self.done, self.notes = [], 0, []

    def start(self, stage, total):
        self.stages.append((stage, total))

    def advance(self, steps=1):
        self.done += steps

    def note(self, message):
        self.notes.append(message)
