"""DLink, its teacher, and the plain alternatives that each claim is held against, each with one thing changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from baselines.dlink.distillation import Terms, learn_from_teacher, lessons_of
from baselines.dlink.family import DlinkFamily
from baselines.dlink.public_checkpoint import load_public
from baselines.dlink.router import LayerChoice
from baselines.dlink.shape import Clock
from baselines.dlink.signals import Front
from baselines.dlink.streaming import StudentStream
from baselines.dlink.student import Student
from baselines.dlink.teacher import Teacher, head_of
from baselines.dlink.tuning import Answering, Tuned, learn_by_masking, learn_labels
from baselines.dlink.windows import pool_of
from baselines.pretraining import Stage
from harness import Bin, Decoder, Inputs, Recording, SessionInfo
from harness.torch_decoder import repeatable

BATCH_WINDOWS = 32


@dataclass
class DlinkTeacher(DlinkFamily):
    """The teacher itself: masked pretraining on all recordings, then fine-tuning where they are labelled.

    It streams too: every bin it looks at the window that ends there, anew.

    checkpoint_path: File of a published CBraMod to begin with instead of masked pretraining (preset "paper").
    """

    role: ClassVar[str] = "teacher"
    checkpoint_path: str = ""

    def build(self, session: SessionInfo) -> Any:
        return torch.nn.ModuleDict({role: self.module(role, session) for role in ("teacher", "teacher_head")})

    def module(self, role: str, session: SessionInfo) -> Any:
        return teacher_part(self, role, session)

    def is_whole(self, network: Any) -> bool:
        return "teacher_head" in network

    def complete(self, session: SessionInfo) -> None:
        self.network["teacher_head"] = self.module("teacher_head", session)

    def answering(self, network: Any) -> Any:
        return Tuned(network["teacher"], network["teacher_head"])

    def channels_of(self, network: Any) -> int:
        head, shape = network["teacher_head"], self.sizes.teacher
        if shape.head == "pooled":
            return int(head.answer.in_features // shape.width)
        return int(head[1].in_features // head[1].out_features)

    def pretrain(self, recordings: Sequence[Recording]) -> None:
        repeatable(self.seed)
        session, clock = recordings[0].session, Clock.of(recordings[0].session, self.sizes)
        teacher = self.module("teacher", session)
        first, second = (Stage(self.checkpoint, k, 2) for k in (0, 1))
        if self.checkpoint_path:
            load_public(teacher, self.checkpoint_path)
        elif not first.is_past:
            pool = pool_of(recordings, None, clock, stride_s=self.sizes.lesson_s, labelled=False)
            learn_by_masking(teacher, pool, self.recipe(self.sizes.masking), seed=self.seed, checkpoint=first)
        self.network = torch.nn.ModuleDict({"teacher": teacher})
        pool = self.labelled(recordings, None, clock)
        if len(pool.learned):
            repeatable(self.seed)
            self.complete(session)
            model, recipe = self.answering(self.network), self.recipe(self.sizes.tuning)
            learn_labels(model, pool, recipe, seed=self.seed, checkpoint=second)
        self.network.eval()

    def predict(self, inputs: Inputs, session: SessionInfo) -> np.ndarray:
        clock, model = Clock.of(session, self.sizes), self.answering(self.network).eval()
        n = clock.window_samples
        found = []
        for s in inputs.segments():
            rows = _after_silence(Front(clock.rate_hz, scaled=clock.scaled).whole(inputs.streams["eeg"][s]), n)
            stops = n + clock.bin_samples * np.arange(1, s.stop - s.start + 1)
            found += [
                _answers(model, rows, stops[i : i + BATCH_WINDOWS], n) for i in range(0, len(stops), BATCH_WINDOWS)
            ]
        return np.concatenate(found)

    def reset(self, session: SessionInfo) -> None:
        clock = Clock.of(session, self.sizes)
        self._front = Front(clock.rate_hz, scaled=clock.scaled).stream(clock.bin_samples)
        self._model = self.answering(self.network).eval()
        self._rows = np.zeros((clock.window_samples, session.streams["eeg"].n_channels), np.float32)

    def step(self, bin: Bin) -> np.ndarray:
        n = len(bin["eeg"])
        self._rows[:-n] = self._rows[n:]
        self._rows[-n:] = self._front.step(bin["eeg"])
        with torch.inference_mode():
            scores: np.ndarray = self._model(torch.from_numpy(self._rows)[None])[0].numpy()
        return scores


@dataclass
class StudentFamily(DlinkFamily):
    """A student, however it is taught.

    projects: Whether it has the teacher's width and imitates it; without, it compresses its own features.
    """

    projects: ClassVar[bool] = True

    def build(self, session: SessionInfo) -> Any:
        return torch.nn.ModuleDict({"student": self.module("student", session)})

    def module(self, role: str, session: SessionInfo) -> Any:
        if role != "student":
            return teacher_part(self, role, session)
        return Student(
            self.sizes.student,
            Clock.of(session, self.sizes),
            teacher_width=self.sizes.teacher.width if self.projects else 0,
            n_channels=session.streams["eeg"].n_channels,
            n_classes=len(session.outputs),
        ).eval()

    def answering(self, network: Any) -> Any:
        return Answering(network["student"])

    def channels_of(self, network: Any) -> int:
        return int(network["student"].stem.sharpen.in_features)

    def predict(self, inputs: Inputs, session: SessionInfo) -> np.ndarray:
        clock, student = Clock.of(session, self.sizes), self.network["student"].eval()
        rows = [Front(clock.rate_hz, scaled=clock.scaled).whole(inputs.streams["eeg"][s]) for s in inputs.segments()]
        with torch.inference_mode():
            return np.concatenate([_student_answers(student, r) for r in rows])

    def reset(self, session: SessionInfo) -> None:
        clock = Clock.of(session, self.sizes)
        self._front = Front(clock.rate_hz, scaled=clock.scaled).stream(clock.bin_samples)
        thinning = self.network["student"].thinning.numpy()
        weights = {k: v.detach().numpy() for k, v in self.network["student"].state_dict().items()}
        self._stream = StudentStream(weights, thinning, clock)

    def step(self, bin: Bin) -> np.ndarray:
        return self._stream.step(self._front.step(bin["eeg"]))


@dataclass
class Dlink(StudentFamily):
    """A student of `DlinkTeacher`, distilled from its layers and answers, then fine-tuned on the session's labels.

    Pretraining recordings without labels teach features alone.

    layers: "router" mixes the teacher's layers anew for every window; "last", "uniform", "top1": see
        `baselines.dlink.router.Router`.
    answers, mimic, spectral, compressed, phase: See `baselines.dlink.distillation.Terms`.
    checkpoint_path: As in `DlinkTeacher`.

    router_: (n_layers,) float32, mean weight of each teacher layer in distillation.
    """

    layers: LayerChoice = "router"
    answers: float = 1.0
    mimic: float = 1.0
    spectral: float = 0.5
    compressed: float = 0.25
    phase: float = 0.1
    checkpoint_path: str = ""

    def pretrained_by(self) -> Decoder:
        return DlinkTeacher(seed=self.seed, preset=self.preset, checkpoint_path=self.checkpoint_path)

    def pretrain(self, recordings: Sequence[Recording]) -> None:
        session, clock = recordings[0].session, Clock.of(recordings[0].session, self.sizes)
        stride_s = self.sizes.lesson_s
        pool = pool_of(recordings, None, clock, stride_s=stride_s, labelled=True)
        if not len(pool.learned):
            pool = pool_of(recordings, None, clock, stride_s=stride_s, labelled=False)
        head = dict(self.network.items()).get("teacher_head")
        lessons = lessons_of(self.network["teacher"], head, pool, last_only=self.layers == "last")
        repeatable(self.seed)
        student = self.module("student", session)
        if self.projects or lessons.scores is not None:
            terms = Terms(self.answers, self.mimic, self.spectral, self.compressed, self.phase)
            how = {"seed": self.seed, "checkpoint": self.checkpoint}
            recipe = self.recipe(self.sizes.distilling)
            self.router_ = learn_from_teacher(student, lessons, recipe, terms=terms, layers=self.layers, how=how)
        self.network = torch.nn.ModuleDict({"student": student}).eval()


@dataclass
class DlinkLastLayer(Dlink):
    """Only the teacher's last layer is imitated."""

    layers: LayerChoice = "last"


@dataclass
class DlinkUniform(Dlink):
    """All layers count the same."""

    layers: LayerChoice = "uniform"


@dataclass
class DlinkTop1(Dlink):
    """The router passes on one layer for each window."""

    layers: LayerChoice = "top1"


@dataclass
class DlinkNoSpectral(Dlink):
    """Features are imitated without a look at their spectra."""

    spectral: float = 0.0
    compressed: float = 0.0


@dataclass
class DlinkMagnitude(Dlink):
    """Spectra without their phases."""

    phase: float = 0.0


@dataclass
class DlinkDirect(Dlink):
    """A small student that projects nothing: it learns from labels and the teacher's answers alone."""

    projects: ClassVar[bool] = False
    layers: LayerChoice = "last"


@dataclass
class DlinkLabels(StudentFamily):
    """The same student from labels alone: those of the pretraining recordings, then the session's."""

    def pretrain(self, recordings: Sequence[Recording]) -> None:
        session, clock = recordings[0].session, Clock.of(recordings[0].session, self.sizes)
        repeatable(self.seed)
        self.network = self.build(session)
        pool = self.labelled(recordings, None, clock)
        if len(pool.learned):
            model, recipe = self.answering(self.network), self.recipe(self.sizes.distilling)
            learn_labels(model, pool, recipe, seed=self.seed, checkpoint=self.checkpoint)
        self.network.eval()


def teacher_part(decoder: DlinkFamily, role: str, session: SessionInfo) -> Any:
    """A new teacher or head of it, for a session's channels and classes."""
    shape, clock = decoder.sizes.teacher, Clock.of(session, decoder.sizes)
    n_channels = session.streams["eeg"].n_channels
    if role == "teacher":
        return Teacher(shape, clock, n_channels=n_channels).eval()
    n_classes = len(session.outputs)
    return head_of(shape, n_channels=n_channels, n_patches=clock.n_patches, n_classes=n_classes).eval()


def _after_silence(rows: np.ndarray, n_before: int) -> np.ndarray:
    return np.concatenate([np.zeros((n_before, rows.shape[1]), np.float32), rows])


def _answers(model: Any, rows: np.ndarray, stops: np.ndarray, n_samples: int) -> np.ndarray:
    """(n_stops, n_classes) scores of the windows that end at these samples."""
    with torch.inference_mode():
        scores: np.ndarray = model(torch.from_numpy(np.stack([rows[k - n_samples : k] for k in stops]))).numpy()
    return scores


def _student_answers(student: Student, rows: np.ndarray) -> np.ndarray:
    """(n_bins, n_classes) of one filtered segment; powers and features of a bin are computed once."""
    clock = student.clock
    n_bins, n_before = len(rows) // clock.bin_samples, clock.window_bins - 1
    powers = student.stem.powers(torch.from_numpy(_after_silence(rows, clock.lead_samples))[None])[0]
    silence = powers.new_zeros((n_before, *powers.shape[1:]))
    patches = student.stem(torch.cat([silence, powers]).unfold(0, clock.patch_bins, 1).mean(dim=-1))
    found = []
    for i in range(0, n_bins, BATCH_WINDOWS):
        bins = torch.arange(i, min(i + BATCH_WINDOWS, n_bins))
        windows = bins[:, None] + clock.patch_bins * torch.arange(clock.n_patches)
        found.append(student.answer(patches[windows]).scores.numpy())
    return np.concatenate(found)
