"""A code as a picture: one SVG path, dark on white, for inline use under a strict policy."""

from dataclasses import dataclass

import segno


@dataclass(frozen=True, slots=True)
class Picture:
    """The path of the dark squares and the side of the whole, in squares."""

    path: str
    side: int


def draw(text: str) -> Picture:
    """Draw a QR code, runs of dark squares merged, without a quiet zone (the frame is white)."""
    matrix = segno.make(text, error="l", micro=False).matrix
    runs: list[str] = []
    for y, row in enumerate(matrix):
        x = 0
        while x < len(row):
            start = x
            while x < len(row) and row[x]:
                x += 1
            if x > start:
                runs.append(f"M{start} {y}h{x - start}v1h-{x - start}z")
            x += 1
    return Picture("".join(runs), len(matrix))
