"""Linear classifiers of few examples, with what was learned elsewhere as a prior."""

from dataclasses import dataclass

import numpy as np
import scipy.optimize
import scipy.special


@dataclass(frozen=True)
class Linear:
    """Class scores features @ weights.T + intercept: weights (n_classes, n_features), intercept (n_classes,)."""

    weights: np.ndarray
    intercept: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(n, n_features) -> (n, n_classes)."""
        return features @ self.weights.T + self.intercept


@dataclass(frozen=True)
class Labelled:
    """Rows with classes: features (n, n_features), labels (n,) int, weights (n,)."""

    features: np.ndarray
    labels: np.ndarray
    weights: np.ndarray


def logistic(rows: Labelled, prior: Linear, penalties: tuple[float, float]) -> Linear:
    """Multinomial logistic regression that leaves a prior only as far as the examples tell it to.

    Args:
        rows: Their log loss is summed by weight.
        prior: What is believed without them.
        penalties: Of half the squared distance from the prior: of weights, and of the intercept. The latter is not
            zero: without it the intercept of a class that has no example would run away.
    """
    n_classes, n_features = prior.weights.shape
    one_hot = np.eye(n_classes)[rows.labels]
    start = np.concatenate([prior.weights, prior.intercept[:, None]], axis=1)
    scale = np.append(np.full(n_features, penalties[0]), penalties[1])
    x = np.concatenate([rows.features, np.ones((len(rows.features), 1))], axis=1)

    def loss_and_slope(flat: np.ndarray) -> tuple[float, np.ndarray]:
        change = flat.reshape(start.shape) - start
        log_shares = scipy.special.log_softmax(x @ flat.reshape(start.shape).T, axis=1)
        loss = -np.sum(rows.weights[:, None] * one_hot * log_shares) + np.sum(scale * change**2) / 2
        slope = (rows.weights[:, None] * (np.exp(log_shares) - one_hot)).T @ x + scale * change
        return loss, slope.ravel()

    found = scipy.optimize.minimize(loss_and_slope, start.ravel(), jac=True, method="L-BFGS-B", options={"gtol": 1e-6})
    learned = found.x.reshape(start.shape)
    return Linear(learned[:, :-1], learned[:, -1])


def log_loss(linear: Linear, rows: Labelled) -> float:
    """Weighted mean of -log of the right class' probability."""
    log_shares = scipy.special.log_softmax(linear(rows.features), axis=1)
    return float(-np.average(log_shares[np.arange(len(rows.labels)), rows.labels], weights=rows.weights))


@dataclass(frozen=True)
class Gaussians:
    """Classes as Gaussians that share a covariance: linear discriminant analysis with equal priors.

    means: (n_classes, n_features). precision: (n_features, n_features), the covariance's inverse.
    """

    means: np.ndarray
    precision: np.ndarray

    def linear(self) -> Linear:
        weights = self.means @ self.precision
        return Linear(weights, -np.sum(weights * self.means, axis=1) / 2)

    def moved(self, rows: Labelled, *, prior_trials: float) -> "Gaussians":
        """Means moved towards those of new rows, as if the old ones had been seen in so many trials of each class."""
        n_classes = len(self.means)
        n_trials = np.bincount(rows.labels, rows.weights, minlength=n_classes)
        sums = np.zeros_like(self.means)
        np.add.at(sums, rows.labels, rows.weights[:, None] * rows.features)
        # First the shift that all classes have in common, which even a class without a trial goes along with.
        shift = (sums - n_trials[:, None] * self.means).sum(axis=0) / (n_trials.sum() + prior_trials)
        means = (prior_trials * (self.means + shift) + sums) / (prior_trials + n_trials)[:, None]
        return Gaussians(means, self.precision)


def gaussians(rows: Labelled, n_classes: int) -> Gaussians:
    """Linear discriminant analysis, its covariance shrunk after Ledoit and Wolf (10.1016/S0047-259X(03)00096-4)."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    fitted = LinearDiscriminantAnalysis("lsqr", shrinkage="auto", priors=np.full(n_classes, 1 / n_classes))
    fitted.fit(rows.features, rows.labels)
    return Gaussians(fitted.means_, np.linalg.pinv(fitted.covariance_, hermitian=True))
