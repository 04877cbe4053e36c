"""A simulated session from its parameters to its NWB file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.nwb_write import Electrodes, Header, NwbContents, Series, SpikeUnits, write_nwb
from harness.data.simulate.behaviour import PAD_S, RATE_HZ, Behaviour, Reach, simulate_behaviour
from harness.data.simulate.electrodes import positions_mm, unit_electrodes
from harness.data.simulate.latents import Dynamics, simulate_latents, subject_dynamics
from harness.data.simulate.lfp import STEP_UV, Lfp, Source, simulate_lfp
from harness.data.simulate.linear_gaussian import BIN_S, linear_gaussian_session, position_m
from harness.data.simulate.parameters import GENERATOR_VERSION, Parameters, parse, random_stream, spec_sha256
from harness.data.simulate.population import Population, session_population
from harness.data.simulate.spikes import CLOCK_HZ, spike_trains
from harness.data.simulate.truth import closed_form_r2, kalman_optimum, latent_readout

POSITION_STEP_M = 1e-6


@dataclass(frozen=True)
class SimulatedSession:
    """Everything that is true of a session of the full model; what its LFP is made from as well.

    latents: (n_steps, n_latents), see `latents.simulate_latents`.
    spikes_s: one array of spike times per unit, seconds.
    """

    parameters: Parameters
    behaviour: Behaviour
    dynamics: Dynamics
    latents: np.ndarray
    population: Population
    spikes_s: list[np.ndarray]


def simulate(parameters: Parameters) -> SimulatedSession:
    """Simulate one session of the full model; the same parameters give the same arrays."""
    session = parameters.session
    behaviour = simulate_behaviour(parameters, random_stream(parameters, "behaviour", session=session))
    dynamics = subject_dynamics(parameters)
    latents = simulate_latents(dynamics, behaviour, random_stream(parameters, "latents", session=session))
    population = session_population(parameters)
    spikes_s = spike_trains(parameters, population, latents)
    return SimulatedSession(parameters, behaviour, dynamics, latents, population, spikes_s)


def write_session(path: Path, parameters: Mapping[str, Any], *, session_id: str, subject: str) -> None:
    """Simulate a session and write it as NWB.

    The file appears under its name only when it is complete. Its arrays follow from the parameters alone; its bytes
    do not, since NWB gives every object a random identifier.

    Args:
        path: The file to write, `.nwb`.
        parameters: As in `Parameters`; what is left out has its default.
        session_id: Written into the file.
        subject: Written into the file.

    Raises:
        UsageError: If a parameter is unknown or out of range.
    """
    checked = parse(parameters)
    header = Header(
        session_id=session_id,
        subject=subject,
        identifier=f"{session_id}-{spec_sha256(parameters)[:16]}",
        description=_description(checked),
        day=7 * checked.session,
    )
    contents = _linear_gaussian(checked) if checked.variant == "linear-gaussian" else _full(checked)
    write_nwb(path, header, contents)


def _description(parameters: Parameters) -> str:
    return (
        f"SIMULATED {parameters.task} reaching, variant {parameters.variant}, generator version {GENERATOR_VERSION}; "
        f"parameters: {parameters.model_dump_json()}"
    )


def _truth(parameters: Parameters, best_scores: Mapping[str, float], **more: Any) -> str:
    known = {
        "generator_version": GENERATOR_VERSION,
        "parameters": parameters.model_dump(mode="json"),
        "faults_from_s": parameters.test_start_s,
        "best_scores": best_scores,
    }
    return json.dumps({**known, **more})


def _full(parameters: Parameters) -> NwbContents:
    simulated = simulate(parameters)
    behaviour, population = simulated.behaviour, simulated.population
    n_samples = round(parameters.duration_s * RATE_HZ) + 1
    session = slice(round(PAD_S * RATE_HZ), round(PAD_S * RATE_HZ) + n_samples)
    readout = latent_readout(parameters, behaviour, simulated.latents)
    lfp = simulate_lfp(lfp_source(simulated)) if parameters.lfp else None
    facts = {"lfp": lfp.facts()} if lfp else {}
    return NwbContents(
        units=SpikeUnits(
            times_s=simulated.spikes_s,
            names=population.names,
            areas=tuple(population.areas.tolist()),
            quality=tuple("multi" if n > 1 else "single" for n in np.sum(population.rate_hz > 0, axis=1)),
            stop_s=parameters.duration_s,
            resolution_s=1 / CLOCK_HZ,
        ),
        positions=(
            _position("cursor_pos", "cursor x, y", behaviour.cursor_m[session], RATE_HZ),
            _position("target_pos", "target x, y", behaviour.target_m[session], RATE_HZ),
        ),
        trials=_trials(behaviour.reaches, parameters.duration_s),
        truth=_truth(
            parameters, {"latent_readout": readout}, dynamics_matrix=simulated.dynamics.matrix.tolist(), **facts
        ),
        lfp=_lfp(lfp) if lfp else None,
        electrodes=_electrodes(parameters) if lfp else None,
    )


def lfp_source(simulated: SimulatedSession) -> Source:
    """What the field potentials of a session are made from."""
    return Source(simulated.parameters, simulated.behaviour, simulated.latents, simulated.population)


def _lfp(lfp: Lfp) -> Series:
    about = f"1 kHz, against a common reference, unfiltered; {STEP_UV} microvolts per count"
    return Series("lfp", about, lfp.counts, RATE_HZ, "volts", STEP_UV * 1e-6)


def _electrodes(parameters: Parameters) -> Electrodes:
    places_um = 1000 * positions_mm()
    return Electrodes(places_um, parameters.areas * len(places_um), unit_electrodes(parameters))


def _linear_gaussian(parameters: Parameters) -> NwbContents:
    session = linear_gaussian_session(parameters)
    optimum = {"kalman": kalman_optimum(parameters, session), "kalman_closed_form": closed_form_r2(session.model)}
    return NwbContents(
        counts=Series(
            "binned_spike_counts", "count per bin and unit", session.counts.astype(np.uint16), 1 / BIN_S, "count"
        ),
        positions=(_position("cursor_pos", "cursor x, y", position_m(session.velocity_m_per_s), 1 / BIN_S),),
        truth=_truth(parameters, optimum, a=session.model.a.tolist(), w=session.model.w.tolist()),
    )


def _position(name: str, description: str, values_m: np.ndarray, rate_hz: float) -> Series:
    """Positions in whole micrometres: a quarter of the size, and a conversion factor as real files have it."""
    steps = np.rint(values_m / POSITION_STEP_M).astype(np.int32)
    return Series(name, description, steps, rate_hz, "meters", POSITION_STEP_M)


def _trials(reaches: tuple[Reach, ...], stop_s: float) -> dict[str, np.ndarray]:
    """Columns of the reach table: the reaches that lie within the session."""
    inside = [r for r in reaches if r.start_s >= 0 and r.stop_s <= stop_s]
    return {
        "start_time": np.array([r.start_s for r in inside]),
        "stop_time": np.array([r.stop_s for r in inside]),
        "go_cue_time": np.array([r.go_cue_s for r in inside]),
        "move_onset_time": np.array([r.pieces[0].onset_s for r in inside]),
        "target_x": np.array([r.target_m[0] for r in inside]),
        "target_y": np.array([r.target_m[1] for r in inside]),
    }
