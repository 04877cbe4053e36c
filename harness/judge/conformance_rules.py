"""The rules of the decoder contract as functions: each returns what it measured, or raises `Broken` with it.

A function's name is the name of the check, the first line of its docstring the rule.
"""

import json

import numpy as np

from harness.data.causality import CLOSE
from harness.errors import HarnessError
from harness.judge import artifact
from harness.judge.conformance_case import Broken, Case, describe, refuse_not_finite, same
from harness.judge.conformance_data import SECOND_SEGMENT, joined, noise_from
from harness.types import Inputs

POISON = 1e6


def parameters_are_plain(case: Case) -> str:
    """Hyper-parameters are dataclass fields that survive JSON, `seed: int` among them."""
    decoder = case.build()
    given = decoder.parameters()
    if type(given.get("seed")) is not int:
        raise Broken(f"seed is {given.get('seed', 'not a field')!r}; declare the field `seed: int = 0`")
    hidden = [name for name in given if name.endswith("_")]
    if hidden:
        raise Broken(f"field {hidden[0]!r} ends in '_', which marks what `fit` learns; rename it")
    try:
        again = case.build(**json.loads(json.dumps(given, allow_nan=False))).parameters()
    except (TypeError, ValueError) as error:
        raise Broken(f"parameters {given} do not survive JSON: {describe(error)}") from error
    if again != given:
        raise Broken(f"parameters {given} come back from JSON as {again}; use plain numbers, text, lists")
    return f"{len(given)} fields"


def fit_runs(case: Case) -> str:
    """`fit` learns from a short recording in which one channel is silent."""
    fitted = case.fitted
    return f"{len(case.data.train)} bins in {fitted.fit_s:.2f} s"


def answers_are_finite_rows(case: Case) -> str:
    """Each answer is a NumPy array (n_outputs,) of finite numbers, also when a channel silent in training fires."""
    wanted = (len(case.session.outputs),)
    if not case.kind.causal:
        refuse_not_finite(case.outputs)
        return f"{len(case.outputs)} answers of shape {wanted} from predict"
    dtypes = set()
    for k, (_, answer) in enumerate(case.exchanges()):
        if not isinstance(answer, np.ndarray) or answer.dtype.kind not in "fiu":
            what = f"dtype {answer.dtype}" if isinstance(answer, np.ndarray) else type(answer).__name__
            raise Broken(f"bin {k}: step returned {what}; return a NumPy array of floats")
        if answer.shape != wanted:
            raise Broken(f"bin {k}: step returned shape {answer.shape}; (n_outputs,) = {wanted} is asked for")
        if not np.isfinite(answer).all():
            raise Broken(f"bin {k}: step returned {answer.tolist()}; only finite numbers are scored")
        dtypes.add(str(answer.dtype))
    return f"{len(case.inputs)} answers of shape {wanted}, {', '.join(sorted(dtypes))}"


def reset_forgets(case: Case) -> str:
    """After `reset`, nothing of an earlier segment shows in the answers."""
    second = slice(SECOND_SEGMENT, None)
    advice = "clear all running state in reset, and draw nothing at random in step"
    changed = noise_from(case.inputs, 0, SECOND_SEGMENT)
    same(case.outputs[second], case.respond(case.decoder, changed)[second], f"after another first segment; {advice}")
    short = joined(case.inputs[:57], case.inputs[second])
    return same(case.outputs[second], case.respond(case.decoder, short)[57:], f"after a shorter one; {advice}")


def unscored_targets_are_ignored(case: Case) -> str:
    """`fit` copes with targets that are NaN where no bin is scored."""
    if case.fitted.gap_fault:
        raise Broken(f"{case.fitted.gap_fault}; learn from targets[scored] only")
    unscored = int(np.sum(~case.data.train.scored))
    return f"{unscored} of {len(case.data.train)} training bins have no target"


def fit_keeps_parameters(case: Case) -> str:
    """`fit` leaves the hyper-parameters as they were constructed."""
    before, after = case.build().parameters(), case.decoder.parameters()
    changed = [f"{name}: {before[name]!r} became {after[name]!r}" for name in before if before[name] != after[name]]
    if changed:
        raise Broken(f"{changed[0]}; keep what `fit` chooses in an attribute that ends in '_'")
    return f"{len(before)} fields unchanged"


def step_leaves_its_input_alone(case: Case) -> str:
    """`step` does not change the bin that it is given."""
    for k, ((given, _), (_, untouched)) in enumerate(zip(case.exchanges(), case.inputs.bins(), strict=True)):
        for name, values in untouched.items():
            if given.keys() != untouched.keys() or not np.array_equal(given[name], values):
                raise Broken(f"bin {k}: step changed stream {name!r} of its input; work on a copy")
    return f"{len(case.inputs)} bins unchanged"


def input_is_not_kept(case: Case) -> str:
    """Overwriting a bin after `step` changes no later answer."""
    outputs = []
    for given, answer in case.exchanges():
        outputs.append(answer.copy())
        for values in given.values():
            values[...] = POISON
    return same(case.outputs, np.stack(outputs), "with each bin overwritten after its step; keep copies of bins")


def earlier_answers_stay(case: Case) -> str:
    """An answer stays as it is during later steps."""
    kept, copied = [], []
    for _, answer in case.exchanges():
        kept.append(answer)
        copied.append(answer.copy())
    return same(np.stack(copied), np.stack(kept), "when read again after later steps; return a new array each time")


def answer_is_not_shared(case: Case) -> str:
    """Overwriting an answer changes no later answer."""
    outputs: list[np.ndarray] = []
    overwritten = content = np.zeros(0)
    for _, answer in case.exchanges():
        outputs.append(answer.copy())
        # Give back what was there: it may be what the decoder has learned, and later checks need that.
        overwritten[...] = content
        overwritten = answer if answer.flags.writeable else answer.copy()
        content = overwritten.copy()
        overwritten[...] = POISON
    overwritten[...] = content
    return same(case.outputs, np.stack(outputs), "with each answer overwritten; return a copy of what is kept")


def same_seed_gives_same_answers(case: Case) -> str:
    """Two decoders fitted with the same seed on the same data answer the same."""
    if case.fitted.content is not None:
        # A network takes seconds to import and to fit; the fresh process does its part meanwhile.
        _ = case.fresh_outputs
    if case.second_fit and case.fitted.with_gaps:
        outputs = case.second_fit.result()
    else:
        outputs = case.respond(case.fit(with_gaps=case.fitted.with_gaps).decoder, case.inputs)
    return same(case.outputs, outputs, "after a second fit with the same seed; draw from a generator made from seed")


def seed_is_idle_if_deterministic(case: Case) -> str:
    """A decoder that declares `deterministic = True` answers the same whatever its seed."""
    seed = case.build().parameters()["seed"] + 1
    other = case.fit(with_gaps=case.fitted.with_gaps, seed=seed)
    outputs = case.respond(other.decoder, case.inputs)
    return same(case.outputs, outputs, f"with seed={seed}; declare deterministic = False")


def predict_equals_step(case: Case) -> str:
    """`predict` gives what `reset` and `step` give."""
    outputs = case.predict(case.decoder, case.inputs)
    return same(case.outputs, outputs, "from predict instead of step", limit=CLOSE)


def prefix_gives_prefix(case: Case) -> str:
    """`predict` of the first bins gives the first outputs of `predict`."""
    whole = case.predict(case.decoder, case.inputs)
    said = ""
    for n_bins in (1, 57, SECOND_SEGMENT + 5):
        outputs = case.predict(case.decoder, case.inputs[:n_bins])
        said = same(whole[:n_bins], outputs, f"when predict gets only the first {n_bins} bins", limit=CLOSE)
    return said


def future_has_no_effect(case: Case) -> str:
    """Replacing later inputs leaves the earlier outputs of `predict` as they are."""
    whole = case.predict(case.decoder, case.inputs)
    said = ""
    for n_bins in (57, SECOND_SEGMENT, SECOND_SEGMENT + 70):
        outputs = case.predict(case.decoder, noise_from(case.inputs, n_bins))
        said = same(whole[:n_bins], outputs[:n_bins], f"with noise from bin {n_bins} on", limit=CLOSE)
    return said


def state_is_arrays(case: Case) -> str:
    """`state` holds arrays of booleans, integers or floats, nothing else."""
    content = case.fitted.content
    if content is None:
        raise Broken(case.fitted.content_fault)
    arrays = artifact.unpack(content)
    return f"{len(arrays)} arrays, {artifact.n_parameters(arrays)} values, {len(content)} bytes"


def state_survives_a_fresh_process(case: Case) -> str:
    """A fresh process that restores the saved state answers the same."""
    try:
        outputs = case.fresh_outputs.result()
    except HarnessError as error:
        raise Broken(f"{error}; all that is learned must be in state(), by default attributes ending in '_'") from None
    return same(case.outputs, outputs, "when restored from state() alone", limit=CLOSE)


def empty_bins_are_answered(case: Case) -> str:
    """Bins in which nothing happens (all zeros) get finite answers, and so do the bins after them."""
    streams = {name: values.copy() for name, values in case.inputs.streams.items()}
    for values in streams.values():
        values[:100] = 0
        values[SECOND_SEGMENT + 50 : SECOND_SEGMENT + 100] = 0
    outputs = case.respond(case.decoder, Inputs(streams, case.inputs.starts, case.inputs.bin_s))
    refuse_not_finite(outputs)
    return f"150 empty bins, outputs up to {np.abs(outputs).max():.3g}"
