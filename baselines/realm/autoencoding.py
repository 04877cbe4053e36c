"""First stage: an encoder learns by filling in stretches of time that were hidden from it (no labels)."""

from typing import Any

import numpy as np
import torch

from baselines.pretraining import Objective, Recipe, Training, device_to_train_on
from baselines.realm.encoder import BothWays, Encoder
from baselines.realm.masking import disturbed, masked_bins
from baselines.realm.shape import EncoderShape
from baselines.realm.windows import Batch, Pool


class Predictor(torch.nn.Module):
    """Embeddings to voltages: one block that looks both ways, a perceptron, a projection. Dropped after training."""

    def __init__(self, shape: EncoderShape):
        super().__init__()
        width = shape.width
        self.block, self.norm = BothWays(shape.block(expand=1)), torch.nn.LayerNorm(width)
        self.perceptron = torch.nn.Sequential(
            torch.nn.Linear(width, 2 * width),
            torch.nn.GELU(),
            torch.nn.LayerNorm(2 * width),
            torch.nn.Linear(2 * width, width),
        )
        self.leave = torch.nn.Linear(width, shape.n_channels)

    def forward(self, x: Any) -> Any:
        x = self.norm(x + self.block(x))
        return self.leave(x + self.perceptron(x))


class MaskedAutoencoder(torch.nn.Module):
    """Tokens of hidden bins are replaced by one learned vector; the encoder sees the rest.

    As published, tokens are made before bins are hidden, so something of these leaks to the teacher: into tokens beside
    them through its symmetric convolution, and into all through the channel attention's mean over time.
    """

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder, self.predictor = encoder, Predictor(encoder.shape)
        self.hidden_token = torch.nn.Parameter(0.02 * torch.randn(encoder.shape.width))

    def forward(self, values: Any, present: Any, mask: Any) -> Any:
        """mask: (batch, n_bins) bool, true where hidden -> voltages (batch, n_bins, n_channels)."""
        tokens = torch.where(mask[..., None], self.hidden_token, self.encoder.tokenizer(values, present))
        return self.predictor(self.encoder.backbone(tokens))


def learn_by_autoencoding(encoder: Encoder, pool: Pool, recipe: Recipe, *, seed: int, checkpoint: Any) -> float:
    """Train an encoder in place; returns the loss on what is held out."""
    device = device_to_train_on()
    model = MaskedAutoencoder(encoder).to(device)

    def loss(numbers: np.ndarray, rng: np.random.Generator) -> Any:
        batch = pool.batch(numbers, device)
        mask = torch.from_numpy(masked_bins(len(numbers), pool.window_bins, rng)).to(device)
        return autoencoding_loss(model, batch, mask)

    final = Training(Objective(model, loss, pool.learned, pool.held_out), recipe, seed=seed).run(checkpoint)
    encoder.cpu()
    return final


def autoencoding_loss(model: MaskedAutoencoder, batch: Batch, mask: Any) -> Any:
    """Mean squared error in the hidden bins of the channels that there are, against what was not disturbed."""
    given = disturbed(batch.values) if model.training else batch.values
    weights = mask[..., None] * batch.present[:, None]
    errors = (model(given, batch.present, mask) - batch.values) ** 2 * weights
    return errors.sum() / weights.sum()
