"""What a current dipole in the brain gives on the scalp: three concentric shells.

Ary, Klein and Fender 1981, doi:10.1109/TBME.1981.324817: the potential of a dipole in the innermost of three
spheres, as a series of Legendre polynomials. With a skull that conducts like brain it is the closed form of one sphere.
"""

import numpy as np

BRAIN, SKULL = 0.87, 0.92
"""Outer radii of brain and skull; the scalp's is 1, the unit of length here."""
SKULL_CONDUCTS = 1 / 40
"""Conductivity of the skull over that of brain and scalp."""
N_TERMS = 60
"""Terms of the series: the 60th is below a millionth of the first for sources up to 0.8 deep."""


def lead_field(electrodes: np.ndarray, places: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Potential at each electrode for each dipole, against infinity.

    Args:
        electrodes: (n_electrodes, 3) unit vectors.
        places: (n_dipoles, 3) in radii of the head, within the brain and not at the centre.
        moments: (n_dipoles, 3) dipole moments.

    Returns:
        (n_electrodes, n_dipoles) in units of moment / (4 pi conductivity radius^2).
    """
    depth = np.linalg.norm(places, axis=1)
    outward = places / depth[:, None]
    radial = np.sum(moments * outward, axis=1)
    tangential = moments - radial[:, None] * outward
    cosine = np.clip(electrodes @ outward.T, -1, 1)
    along = electrodes @ tangential.T  # sine of the angle times the moment's part that points to the electrode
    polynomial, slope = _legendre(cosine)
    order = np.arange(1, N_TERMS + 1)
    terms = shell_weights(order, SKULL_CONDUCTS)[:, None] * depth ** (order[:, None] - 1)
    per_radial = np.einsum("nd,ned->ed", order[:, None] * terms, polynomial)
    per_tangential = np.einsum("nd,ned->ed", terms, slope)
    return np.asarray(per_radial * radial + per_tangential * along)


def shell_weights(order: np.ndarray, skull: float) -> np.ndarray:
    """Weight of each Legendre order on the scalp; (2 n + 1) / n if the skull conducts like the rest.

    order: (n_orders,) 1, 2, ...
    skull: Conductivity of the skull over that of brain and scalp.
    """
    n = order.astype(float)
    inner, outer = BRAIN ** (2 * n + 1), SKULL ** (2 * n + 1)
    divisor = (
        ((n + 1) * skull + n) * (n * skull / (n + 1) + 1)
        + (1 - skull) * ((n + 1) * skull + n) * (inner - outer)
        - n * (1 - skull) ** 2 * inner / outer
    )
    return np.asarray(skull * (2 * n + 1) ** 3 / (divisor * (n + 1) * n))


def _legendre(cosine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Legendre polynomials of order 1 to `N_TERMS` and their derivatives, each (N_TERMS, *cosine.shape)."""
    polynomial, slope = [np.ones_like(cosine), cosine], [np.zeros_like(cosine), np.ones_like(cosine)]
    for n in range(2, N_TERMS + 1):
        polynomial.append(((2 * n - 1) * cosine * polynomial[-1] - (n - 1) * polynomial[-2]) / n)
        slope.append(slope[-2] + (2 * n - 1) * polynomial[-2])
    return np.array(polynomial[1:]), np.array(slope[1:])
