"""The decoders: the teacher of spikes, its students of LFP, and the plain alternatives that each claim is held against.

After arXiv 2512.12461. All end in a linear regression on frozen latents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from baselines.crossmodal.distillation import Aim, Student, Weights
from baselines.crossmodal.encoder import Encoder
from baselines.crossmodal.latent import Latent
from baselines.crossmodal.masking import Autoencoder, Predictor
from baselines.crossmodal.shape import Schedule, Signal
from baselines.crossmodal.stages import (
    behaviour_aims,
    embedded,
    heir,
    lfp_of,
    lfp_standards,
    mean_counts,
    patches_of,
    spikes_of,
    stretches,
    without_their_ends,
)
from baselines.crossmodal.streaming import EncoderStream
from baselines.crossmodal.training import Lesson, Stretch, learn
from baselines.features import Standard, in_bins, scored_targets
from baselines.sessions import session_key
from harness import Bin, Decoder, HarnessError, Inputs, Recording, SessionInfo
from harness.torch_decoder import repeatable

Parts = tuple[list[Stretch], list[Stretch]]
"""What is learned from, and what training is stopped by."""


@dataclass
class Autoencoding(Latent):
    """Masked autoencoding of one signal, over many sessions and then on one. Subclasses say of which signal."""

    def autoencode(self, role: str, signal: Signal, parts: Parts, schedule: Schedule, **how: Any) -> None:
        """Train an encoder and its predictor, the ones held already or new ones, and hold them.

        how: `bin_s`, and `checkpoint` in a stage that may be resumed.

        Raises:
            HarnessError: If an encoder is held without its predictor.
        """
        bin_s = how.pop("bin_s")
        encoder, predictor = self.part(role), self.part(f"{role}_predictor")
        if encoder is None:
            encoder = self.encoder(signal, patches_of(self.shape, signal, parts[0]), bin_s)
            predictor = Predictor(self.shape, signal)
        elif predictor is None:
            raise HarnessError(
                f"{type(self).__name__} holds an encoder of {signal} without its predictor, as what `fit` leaves does; "
                f"restore what `pretrain` left, or fit a new decoder"
            )
        window_bins, on_gpu = in_bins(self.settings.window_s, bin_s), self.settings.on_gpu
        module = Autoencoder(encoder, predictor, mean_counts(parts[0]) if signal == "spikes" else {})
        lesson = Lesson(module, lambda b: module(b.values, b.key), *parts, window_bins=window_bins, on_gpu=on_gpu)
        learn(lesson, schedule, seed=self.seed, **how)
        self.network = torch.nn.ModuleDict({role: encoder, f"{role}_predictor": predictor}).eval()

    def tune(self, role: str, signal: Signal, parts: Parts, session: SessionInfo) -> Encoder:
        """Train on without labels on one session's own material; from nothing where there was no pretraining."""
        key, n_channels = session_key(session), parts[0][0].values.shape[1]
        known = self.part(role)
        if known is not None:
            own = heir(known, key, self.shape.n_patches(signal, n_channels), elders=self.elders(session))
            self.network[role] = own
        schedule = self.settings.pretraining if known is None else self.settings.tuning
        self.autoencode(role, signal, parts, schedule, bin_s=session.bin_s)
        encoder: Encoder = self.network[role]
        return encoder


@dataclass
class WithTeacher(Autoencoding):
    """What the teacher of spikes and those who are taught have in common."""

    def pretrain_teacher(self, recordings: Sequence[Recording], checkpoint: Any) -> None:
        """Masked autoencoding of spikes over all sessions."""
        self.remember([r.session for r in recordings])
        parts = without_their_ends([s for r in recordings for s in stretches(r, spikes_of(r))])
        bin_s = recordings[0].session.bin_s
        self.autoencode("teacher", "spikes", parts, self.settings.pretraining, bin_s=bin_s, checkpoint=checkpoint)

    def own_teacher(self, train: Sequence[Recording], validation: Sequence[Recording]) -> Encoder:
        """The teacher of this session, frozen."""
        learned, held_out = ([s for r in part for s in stretches(r, spikes_of(r))] for part in (train, validation))
        return self.tune("teacher", "spikes", (learned, held_out), train[0].session).requires_grad_(False).eval()

    def latents(self, teacher: Encoder, recording: Recording) -> np.ndarray:
        """What the teacher says of a recording: (n_bins, width)."""
        window_bins = in_bins(self.settings.window_s, recording.session.bin_s)
        where = {"key": session_key(recording.session), "window_bins": window_bins}
        return embedded(teacher, spikes_of(recording), recording.inputs.segments(), **where)


@dataclass
class SpikeTransformer(WithTeacher):
    """The teacher itself: a transformer on spikes, pretrained by masked autoencoding over sessions.

    `fit` trains it on without labels on the session's own spikes (from nothing where there was no pretraining).
    """

    inputs = ("spikes",)
    answering: ClassVar[str] = "teacher"

    def pretrain(self, recordings: Sequence[Recording]) -> None:
        repeatable(self.seed)
        self.pretrain_teacher(recordings, self.checkpoint)

    def learn_session(self, train: Sequence[Recording], validation: Sequence[Recording]) -> Encoder:
        return self.own_teacher(train, validation)

    def values(self, inputs: Inputs) -> np.ndarray:
        return inputs.streams["spikes"]


@dataclass
class OnLfp(WithTeacher):
    """What reads LFP: channels are standardised by the session's train part."""

    inputs = ("lfp",)

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        standard = Standard.of([lfp_of(r.inputs) for r in train], "none")
        self.mean_, self.gain_ = standard.mean, standard.gain
        super().fit(train, validation)

    @property
    def standard(self) -> Standard:
        """Of one bin or of many."""
        return Standard(self.mean_, self.gain_, "none")

    def values(self, inputs: Inputs) -> np.ndarray:
        return self.standard(lfp_of(inputs))


@dataclass
class MsLfp(OnLfp):
    """The same masked autoencoding, of LFP: what many sessions of LFP alone are worth.

    `fit` trains it on without labels on the session's own LFP, since the published one has seen the sessions that it
    is tried on; from nothing where there was no pretraining.
    """

    def pretrain(self, recordings: Sequence[Recording]) -> None:
        repeatable(self.seed)
        self.remember([r.session for r in recordings])
        standards = lfp_standards(recordings)
        material = [s for r in recordings for s in stretches(r, standards[session_key(r.session)](lfp_of(r.inputs)))]
        how = {"bin_s": recordings[0].session.bin_s, "checkpoint": self.checkpoint}
        self.autoencode("student", "lfp", without_their_ends(material), self.settings.pretraining, **how)

    def learn_session(self, train: Sequence[Recording], validation: Sequence[Recording]) -> Encoder:
        learned, held_out = (
            [s for r in part for s in stretches(r, self.values(r.inputs))] for part in (train, validation)
        )
        return self.tune("student", "lfp", (learned, held_out), train[0].session)


@dataclass
class Taught(OnLfp):
    """A transformer on LFP with an aim of its own, and the teacher's latents as another where `cosine_weight` is not 0.

    cosine_weight: Of 1 - cosine between its latents and the teacher's, against the mean squared error of its own aim.
        None: the preset's for this aim.
    """

    second: ClassVar[Aim] = "lfp"
    cosine_weight: float | None = None

    @property
    def loss_weights(self) -> Weights:
        """The cosine's, and of which aim it stands beside."""
        settings, given = self.settings, self.cosine_weight
        usual = settings.cosine_weight if self.second == "lfp" else settings.supervised_cosine_weight
        return Weights(usual if given is None else given, self.second)

    def pretrained_by(self) -> Decoder | None:
        """The teacher, whose pretraining all students share."""
        return SpikeTransformer(preset=self.preset, window_s=self.window_s, seed=self.seed)

    def learn_session(self, train: Sequence[Recording], validation: Sequence[Recording]) -> Encoder:
        teacher = self.own_teacher(train, validation) if self.loss_weights.cosine else None
        targets = scored_targets(train)

        def aims(recording: Recording) -> dict[str, np.ndarray]:
            taught = {"latents": self.latents(teacher, recording)} if teacher is not None else {}
            return taught | (behaviour_aims(recording, targets) if self.second == "behaviour" else {})

        learned, held_out = (
            [s for r in part for s in stretches(r, self.values(r.inputs), aims(r))] for part in (train, validation)
        )
        return self.distil((learned, held_out), self.settings.distillation, train[0])

    def distil(self, parts: Parts, schedule: Schedule, first: Recording, **how: Any) -> Encoder:
        """Train a new student; `first` tells the shapes, `how` is for `learn`."""
        bin_s = first.session.bin_s
        n_patches = patches_of(self.shape, "lfp", parts[0])
        torch.manual_seed(self.seed)
        encoder = self.encoder("lfp", n_patches, bin_s)
        n_lfp = self.shape.lfp_patch * max(n_patches.values())
        n_outputs = n_lfp if self.second == "lfp" else first.targets.shape[1]
        student = Student(encoder, n_outputs, self.loss_weights)
        seen_s = 2 * self.settings.context_s if self.causal else self.settings.window_s
        lesson = Lesson(student, student, *parts, window_bins=in_bins(seen_s, bin_s), on_gpu=self.settings.on_gpu)
        learn(lesson, schedule, seed=self.seed, **how)
        return encoder


@dataclass
class Crossmodal(Taught):
    """A student of one session: it aligns with the teacher's latents and reconstructs its LFP, without labels."""


@dataclass
class CrossmodalSupervised(Taught):
    """A student of one session that aligns with the teacher's latents and predicts the behaviour."""

    second: ClassVar[Aim] = "behaviour"


@dataclass
class LfpTransformer(Taught):
    """The same transformer on the session's labels alone: what a teacher adds is what the others do better."""

    second: ClassVar[Aim] = "behaviour"
    cosine_weight: float | None = 0.0

    def pretrained_by(self) -> Decoder | None:
        """Nobody."""
        return None


@dataclass
class CrossmodalCausal(CrossmodalSupervised):
    """`crossmodal-supervised` with attention to the past alone, in every layer as far back as the preset's context.

    The teacher sees whole windows; the student answers each bin at once, from a cache of one context per layer.
    """

    causal: ClassVar[bool] = True

    def reset(self, session: SessionInfo) -> None:
        encoder = self.network[self.answering]
        (key,) = encoder.places
        weights: Mapping[str, np.ndarray] = {k: v.detach().numpy() for k, v in encoder.state_dict().items()}
        self._standard = self.standard
        how = {"key": key, "context_bins": encoder.context_bins, "over": self.conv_over}
        self._stream = EncoderStream(weights, self.shape, **how)

    def step(self, bin: Bin) -> np.ndarray:
        return self.readout_ @ self._stream.advance(self._standard(bin["lfp"][-1])) + self.intercept_


@dataclass
class CrossmodalTransfer(Taught):
    """One student of all pretraining sessions, applied to other sessions unchanged: only the read-out is fitted there.

    Published: distilled on one session, by a teacher fine-tuned on it. Here: on all pretraining sessions, by a teacher
    as pretrained. A session's places are those of the subject's last pretraining session before it by name, else of the
    first after it, else the mean over all. Where there was no pretraining, `fit` distils on the session itself.
    """

    def pretrain(self, recordings: Sequence[Recording]) -> None:
        repeatable(self.seed)
        if self.part("teacher") is None:
            self.pretrain_teacher(recordings, Decoder.checkpoint)
        self.remember([r.session for r in recordings])
        teacher, standards = self.part("teacher").eval(), lfp_standards(recordings)
        if unknown := sorted(set(standards) - set(teacher.places)):
            raise HarnessError(f"the teacher has not seen {', '.join(unknown)}; pretrain both on the same sessions")
        material = [
            s
            for r in recordings
            for s in stretches(
                r, standards[session_key(r.session)](lfp_of(r.inputs)), {"latents": self.latents(teacher, r)}
            )
        ]
        parts = without_their_ends(material)
        student = self.distil(parts, self.settings.many, recordings[0], checkpoint=self.checkpoint)
        self.network = torch.nn.ModuleDict({"student": student}).eval()

    def learn_session(self, train: Sequence[Recording], validation: Sequence[Recording]) -> Encoder:
        student = self.part("student")
        if student is None:
            return super().learn_session(train, validation)
        session, n_channels = train[0].session, train[0].inputs.streams["lfp"].shape[-1]
        n_patches = self.shape.n_patches("lfp", n_channels)
        return heir(student, session_key(session), n_patches, elders=self.elders(session))
