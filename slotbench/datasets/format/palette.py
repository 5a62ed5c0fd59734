"""Colours for colour-blind readers: Okabe and Ito 2008, then Tol's muted set."""

import numpy as np

PALETTE = np.array(
    [
        (230, 159, 0),
        (86, 180, 233),
        (0, 158, 115),
        (240, 228, 66),
        (0, 114, 178),
        (213, 94, 0),
        (204, 121, 167),
        (51, 34, 136),
        (136, 34, 85),
        (68, 170, 153),
        (153, 153, 51),
        (170, 68, 153),
    ],
    np.uint8,
)
BACKGROUND = (40, 40, 40)
UNLABELLED = (255, 255, 255)
