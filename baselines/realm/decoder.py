"""REALM and its plain alternatives: each is the family with one thing changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from baselines.realm.autoencoding import learn_by_autoencoding
from baselines.realm.distillation import Weights, learn_from_teacher, lessons_of
from baselines.realm.encoder import Encoder
from baselines.realm.family import RealmFamily
from baselines.realm.shape import EncoderShape
from baselines.realm.tuning import Labelled, Masked, tune
from baselines.realm.windows import pool_of, stretches_of
from baselines.ridge import Linear
from harness import Decoder, Inputs, Recording
from harness.torch_decoder import Schedule, repeatable


def autoencoded(decoder: RealmFamily, recordings: Sequence[Recording]) -> Encoder:
    """A new encoder in the decoder's own role, trained by masked autoencoding on recordings without labels."""
    repeatable(decoder.seed)
    encoder = decoder.encoder(decoder.role, decoder.most_channels(recordings))
    stretches = stretches_of(recordings, decoder.inputs[0], encoder.shape.n_channels)
    window_bins = decoder.sizes.window_bins
    pool = pool_of(stretches, window_bins=window_bins, stride_bins=max(1, window_bins // 2))
    learn_by_autoencoding(encoder, pool, decoder.sizes.masking, seed=decoder.seed, checkpoint=decoder.checkpoint)
    return encoder


def tuned_whole(
    decoder: RealmFamily, train: Sequence[Recording], validation: Sequence[Recording], schedule: Schedule
) -> Linear:
    """Train a decoder's encoder in place, tokenizer included, together with a new head, which is returned."""
    decoder.note_scan()
    encoder = decoder.network[decoder.role]
    parts = [[Labelled(decoder.rows(r.inputs), r) for r in part] for part in (train, validation)]
    body, width = Masked(encoder, decoder.present), encoder.shape.width
    return tune(body, parts[0], parts[1], width=width, schedule=schedule, seed=decoder.seed)


@dataclass
class RealmTeacher(RealmFamily):
    """The teacher itself, frozen: it looks both ways, so it answers whole recordings only."""

    causal = False
    role: ClassVar[str] = "teacher"

    def pretrain(self, recordings: Sequence[Recording]) -> None:
        self.network = torch.nn.ModuleDict({self.role: autoencoded(self, recordings)})
        self.note_scan()


@dataclass
class RealmAutoencoder(RealmFamily):
    """The causal network, pretrained on all sessions by masked autoencoding alone: no teacher, ridge read-out."""

    def pretrain(self, recordings: Sequence[Recording]) -> None:
        self.network = torch.nn.ModuleDict({self.role: autoencoded(self, recordings)})
        self.note_scan()


@dataclass
class Distilled(RealmFamily):
    """A student of `RealmTeacher`.

    alignment, reconstruction, task: Weights of the terms, see `baselines.realm.distillation.Weights`; with `task` at 0
        no label of the pretraining sessions is read, else some must be given (`pretraining_labels` in the suite).
    """

    alignment: float = 1.0
    reconstruction: float = 1.0
    task: float = 0.0

    def pretrained_by(self) -> Decoder:
        return RealmTeacher(preset=self.preset, seed=self.seed)

    def pretrain(self, recordings: Sequence[Recording]) -> None:
        teacher = self.network["teacher"]
        n_channels = teacher.shape.n_channels
        repeatable(self.seed)
        student = self.encoder(self.role, n_channels)
        student.tokenizer.load_state_dict(teacher.tokenizer.state_dict())
        window_bins = self.sizes.window_bins
        stretches = stretches_of(recordings, self.inputs[0], n_channels)
        pool = pool_of(stretches, window_bins=window_bins, stride_bins=window_bins)
        learn_from_teacher(
            student,
            lessons_of(teacher, pool),
            self.sizes.distilling,
            weights=Weights(self.alignment, self.reconstruction, self.task),
            seed=self.seed,
            checkpoint=self.checkpoint,
        )
        self.network = torch.nn.ModuleDict({self.role: student})
        self.note_scan()


@dataclass
class Realm(Distilled):
    """The causal student, fine-tuned on a session's labels: its layers and a new head learn.

    Whether its tokenizer learns too is the preset's decision, see `baselines.realm.shape.Preset.tunes_tokenizer`.
    """

    def learn_answers(self, train: Sequence[Recording], validation: Sequence[Recording]) -> Linear:
        if self.sizes.tunes_tokenizer:
            return tuned_whole(self, train, validation, self.sizes.tuning)
        self.note_scan()
        encoder = self.network[self.role]
        parts = [[Labelled(self.tokens(r.inputs), r) for r in part] for part in (train, validation)]
        return tune(
            encoder.backbone,
            parts[0],
            parts[1],
            width=encoder.shape.width,
            schedule=self.sizes.tuning,
            seed=self.seed,
        )

    def tokens(self, inputs: Inputs) -> np.ndarray:
        """(n_bins, width): the frozen tokenizer's, over whole segments as in streaming."""
        rows, tokenizer, present = self.rows(inputs), self.network[self.role].tokenizer, torch.from_numpy(self.present)
        with torch.inference_mode():
            found = [tokenizer(torch.from_numpy(rows[s])[None], present)[0].numpy() for s in inputs.segments()]
        return np.concatenate(found)


@dataclass
class RealmBi(Distilled):
    """A student that looks both ways, in the paper preset with half the inner width; frozen, ridge read-out.

    It answers whole recordings only.
    """

    causal = False

    def shape_of(self, role: str) -> EncoderShape:
        return self.sizes.teacher if role == "teacher" else self.sizes.student_both_ways


@dataclass
class RealmLabelFree(RealmFamily):
    """The causal student, frozen: labels enter through a ridge regression alone. Fields as in `Distilled`."""

    alignment: float = 1.0
    reconstruction: float = 1.0
    task: float = 0.0

    def pretrained_by(self) -> Decoder:
        return Realm(self.seed, self.preset, self.alignment, self.reconstruction, self.task)


@dataclass
class Drawn(RealmFamily):
    """Nothing was learned before `fit`, which begins with a newly drawn network each time."""

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        self.network = torch.nn.ModuleDict()
        super().fit(train, validation)

    def learn_alone(self, recordings: Sequence[Recording]) -> None:
        self.start(recordings[0].session)


@dataclass
class RealmScratch(Drawn):
    """The causal network trained on the session's labels alone, tokenizer included: nothing was learned before."""

    def learn_answers(self, train: Sequence[Recording], validation: Sequence[Recording]) -> Linear:
        return tuned_whole(self, train, validation, self.sizes.scratch)


@dataclass
class RealmUntrained(Drawn):
    """The causal network as it was drawn, frozen, with a ridge read-out: what any pretraining has to beat."""
