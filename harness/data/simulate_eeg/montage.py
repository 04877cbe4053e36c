"""Where the 64 electrodes of EEGMMIDB are on a spherical head, by the angles of the 10-10 system."""

import functools

import numpy as np

RIM_DEG = 92.0
"""From Cz down to the ring through Fpz, T7, Oz and T8, seen from the centre of the head."""
BELOW_DEG = 23.0
"""One more step of the 10-10 system below that ring."""

HEAD_UM = 90_000.0
"""Radius of the head in files. The generator itself knows no lengths: its unit is this radius."""

RING_DEG = {"Fp": 108, "AF": 126, "F": 144, "FT": 162, "T": 180, "TP": 198, "P": 216, "PO": 234, "O": 252}
"""Azimuth of the ring's electrodes on the left, from the right ear (0) over the nose (90)."""

ROWS = {"AF": "AF", "F": "F", "FC": "FT", "C": "T", "CP": "TP", "P": "P", "PO": "PO"}
"""Row -> the name of the ring's electrodes at its two ends."""

MIDLINE_DEG = {"AF": 69.0, "F": 46.0, "FC": 23.0, "C": 0.0, "CP": -23.0, "P": -46.0, "PO": -69.0}
"""Angle from Cz to the middle of each row; positive is forward."""

_ORDER = """
FC5 FC3 FC1 FCz FC2 FC4 FC6 C5 C3 C1 Cz C2 C4 C6 CP5 CP3 CP1 CPz CP2 CP4 CP6
Fp1 Fpz Fp2 AF7 AF3 AFz AF4 AF8 F7 F5 F3 F1 Fz F2 F4 F6 F8 FT7 FT8 T7 T8 T9 T10 TP7 TP8
P7 P5 P3 P1 Pz P2 P4 P6 P8 PO7 PO3 POz PO4 PO8 O1 Oz O2 Iz
"""

CHANNELS = tuple(_ORDER.split())
"""In the order of the source, in the usual spelling."""


def direction(inclination_deg: float, azimuth_deg: float) -> np.ndarray:
    """(3,) unit vector: x to the right, y to the nose, z up; the inclination is measured from Cz."""
    inclination, azimuth = np.radians([inclination_deg, azimuth_deg])
    return np.array([np.sin(inclination) * np.cos(azimuth), np.sin(inclination) * np.sin(azimuth), np.cos(inclination)])


@functools.cache
def electrode_directions() -> np.ndarray:
    """(64, 3) unit vectors from the centre of the head, in the order of `CHANNELS`."""
    places = _ring() | _midline()
    for row, end in ROWS.items():
        left, right, middle = places[f"{end}7"], places[f"{end}8"], places[f"{row}z"]
        for step, (odd, even) in enumerate(((1, 2), (3, 4), (5, 6)), start=1):
            places[f"{row}{odd}"] = _on_the_arc(middle, left, step / 4)
            places[f"{row}{even}"] = _on_the_arc(middle, right, step / 4)
    return np.array([places[name] for name in CHANNELS])


def electrode_positions_um() -> np.ndarray:
    """(64, 3) micrometres from the centre of the head in the axes of NWB: +x posterior, +y inferior, +z right."""
    right, front, up = HEAD_UM * electrode_directions().T
    return np.stack([-front, -up, right], axis=1)


def _ring() -> dict[str, np.ndarray]:
    """The ring's electrodes, and those below the ears."""
    places = {}
    for name, azimuth_deg in RING_DEG.items():
        odd, even = ("1", "2") if name in ("Fp", "O") else ("7", "8")
        places[name + odd] = direction(RIM_DEG, azimuth_deg)
        places[name + even] = direction(RIM_DEG, 180 - azimuth_deg)
    below = {"T9": direction(RIM_DEG + BELOW_DEG, 180), "T10": direction(RIM_DEG + BELOW_DEG, 0)}
    return places | below


def _midline() -> dict[str, np.ndarray]:
    inner = {f"{row}z": direction(angle_deg, 90) for row, angle_deg in MIDLINE_DEG.items()}
    rim = {"Fpz": direction(RIM_DEG, 90), "Oz": direction(RIM_DEG, -90), "Iz": direction(RIM_DEG + BELOW_DEG, -90)}
    return inner | rim


def _on_the_arc(start: np.ndarray, stop: np.ndarray, share: float) -> np.ndarray:
    """The point at this share of the shortest way over the sphere."""
    angle = np.arccos(np.clip(start @ stop, -1, 1))
    return np.asarray((np.sin((1 - share) * angle) * start + np.sin(share * angle) * stop) / np.sin(angle))
