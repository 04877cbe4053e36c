"""When a run cues what: rest and imagery in turn, as in EEGMMIDB."""

from dataclasses import dataclass

import numpy as np

from harness.data.simulate_eeg.parameters import TASKS

RUN_S, N_TRIALS = 125.0, 15
FIRST_CUE_S, TRIAL_S, REST_S = 4.2, 4.1, 4.2


@dataclass(frozen=True)
class Schedule:
    """The trials of one run: cues_s (n_trials,) seconds from its start, and the movement of each."""

    number: int
    cues_s: np.ndarray
    labels: tuple[str, ...]

    @property
    def ends_s(self) -> np.ndarray:
        """(n_trials,) when imagery should stop and rest begins."""
        return np.round(self.cues_s + TRIAL_S, 1)


def schedule(number: int, rng: np.random.Generator) -> Schedule:
    """The trials of the run of this number: 7 or 8 of each movement in random order."""
    movements = TASKS[number]
    more = rng.integers(2)
    labels = rng.permutation([movements[(i + more) % 2] for i in range(N_TRIALS)])
    cues_s = np.round(FIRST_CUE_S + (TRIAL_S + REST_S) * np.arange(N_TRIALS), 1)
    return Schedule(number, cues_s, tuple(str(label) for label in labels))
