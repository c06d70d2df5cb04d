"""The twin: the same model with all columns in one place, and the metrics of any model. Plain numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.learn.linear.families import Family

Matrix = NDArray[np.float64]
STEPS = 50
SWEEPS = 2000
MOST_SOLVED = 400  # coefficients of several classes whose matrix is solved directly
CONJUGATE = 400  # steps at most where it is not


@dataclass(frozen=True)
class Fit:
    """Coefficients of standardised columns [columns], the intercept, and how many steps they took.

    Of several classes [classes, columns] and intercepts [classes]. ``errors`` are the standard errors, the
    intercept's first.
    """

    coefficients: Matrix
    intercept: float | Matrix
    iterations: int
    settled: bool
    errors: Matrix | None = None

    def predictor(self, standard: Matrix) -> Matrix:
        """[rows], of several classes [rows, classes]."""
        return np.asarray(standard @ self.coefficients.T + self.intercept)


def irls(
    standard: Matrix, y: Matrix, family: Family, l2: float, l1: float = 0.0,
    weight: Matrix | None = None, offset: Matrix | None = None, dispersion: float = 1.0,
) -> Fit:  # fmt: skip
    """Minimise mean loss + l2 / 2 |coefficients|**2 + l1 |coefficients| by Newton steps.

    ``weight`` has the mean 1 over these rows or any other: the loss is their weighted mean. ``dispersion`` is that
    of a logistic or Poisson label as it is scaled; others' is found.
    """
    if family.classes > 1:
        return _softmax(standard, y, family, l2, weight)
    rows = np.column_stack([np.ones(y.size), standard])
    share = np.full(y.size, 1 / y.size) if weight is None else weight / weight.sum()
    base = np.zeros(y.size) if offset is None else offset
    size = rows.shape[1]
    penalty = l2 * np.eye(size)
    penalty[0, 0] = 0.0
    limits = np.full(size, l1)
    limits[0] = 0.0
    beta, steps, settled = np.zeros(size), STEPS, False
    for step in range(1, STEPS + 1):
        slope, bend = slope_and_bend(rows @ beta + base, y, family, first=step == 1)
        gradient = rows.T @ (share * slope) + penalty @ beta
        hessian = (rows * (share * bend)[:, None]).T @ rows + penalty
        new = _least(hessian, gradient, beta, limits) if l1 else (
            beta - np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        )  # fmt: skip
        move = new - beta
        if family.name == "logistic":
            move = _shortened(move, lambda b: float(
                share @ np.logaddexp(0, np.where(y > 0, -1, 1) * (rows @ b + base))
                + b @ penalty @ b / 2 + limits @ np.abs(b)
            ), beta)  # fmt: skip
        move *= min(1.0, 5.0 / max(1e-300, float(np.abs(move).max())))
        beta = beta + move
        if np.abs(move).max() < 1e-9:
            steps, settled = step, True
            break
    errors = None if l1 else _errors(rows, y, beta, base, family, l2, weight, dispersion)
    return Fit(beta[1:], float(beta[0]), steps, settled, errors)


def _shortened(move: Matrix, loss: Callable[[Matrix], float], beta: Matrix) -> Matrix:
    """A step that does not overshoot: halved until the loss falls."""
    before = loss(beta)
    for _ in range(30):
        if loss(beta + move) <= before + 1e-15:
            break
        move = move / 2
    return move


def _least(hessian: Matrix, gradient: Matrix, beta: Matrix, limits: Matrix) -> Matrix:
    """The minimum of the quadratic model with limits on absolute values, by coordinate descent."""
    b = beta.copy()
    slope = gradient.copy()  # of the model at b
    for _ in range(SWEEPS):
        most = 0.0
        for j in range(b.size):
            bend = hessian[j, j]
            if bend <= 0:
                continue
            free = b[j] - slope[j] / bend
            new = np.sign(free) * max(0.0, abs(free) - limits[j] / bend)
            slope += hessian[:, j] * (new - b[j])
            most = max(most, abs(new - b[j]))
            b[j] = new
        if most < 1e-12:
            break
    return b


def slope_and_bend(
    eta: Matrix, y: Matrix, family: Family, *, first: bool = False
) -> tuple[Matrix, Matrix]:
    """(derivative of a row's loss, its weight in the curvature) at a linear predictor, clipped as on shares.

    A log link's first step starts from means halfway between the label and what the predictor says.
    """
    if family.name == "linear":
        return eta - y, np.ones_like(eta)
    if family.name == "logistic":
        mean = 1 / (1 + np.exp(-np.clip(eta, -12, 12)))
        return mean - y, mean * (1 - mean)
    p = family.power
    mean = np.exp(np.clip(eta, -12, 8))
    if first:
        w = (y + mean) / 2
        return -(w ** (2 - p)) * (np.log(w) - eta + (y - w) / w), w ** (2 - p)
    first_term, second = mean ** (2 - p), y * mean ** (1 - p)
    return first_term - second, (
        first_term + second
    ) / 2  # as on shares: a step that does not overshoot


def mean_and_weight(eta: Matrix, family: Family) -> tuple[Matrix, Matrix]:
    """(mean, weight in the curvature) at linear predictors [rows]; of several classes [rows, classes] both."""
    if family.classes > 1:
        shares = np.exp(eta - eta.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        return shares, shares
    if family.name == "linear":
        return eta, np.ones_like(eta)
    if family.name == "logistic":
        mean = 1 / (1 + np.exp(-np.clip(eta, -12, 12)))
        return mean, mean * (1 - mean)
    mean = np.exp(np.clip(eta, -12, 8))
    return mean, mean ** (2 - family.power)


def _softmax(standard: Matrix, y: Matrix, family: Family, l2: float, weight: Matrix | None) -> Fit:
    """Newton's steps over all classes at once; the solution whose intercepts add up to 0."""
    rows = np.column_stack([np.ones(y.size), standard])
    share = np.full(y.size, 1 / y.size) if weight is None else weight / weight.sum()
    classes, size = family.classes, rows.shape[1]
    hot = (y[:, None] == np.arange(classes)).astype(np.float64)
    one = l2 * np.eye(size)
    one[0, 0] = 0.0
    penalty = np.kron(np.eye(classes), one) if classes * size <= MOST_SOLVED else one
    beta = np.zeros((classes, size))
    for step in range(1, STEPS + 1):
        p, _ = mean_and_weight(rows @ beta.T, family)
        gradient = ((p - hot) * share[:, None]).T @ rows + beta @ one
        if classes * size > MOST_SOLVED:
            move = _conjugate(rows, share, p, one, gradient)
        else:
            hessian = _hessian(rows, share, p) + penalty
            move = np.linalg.lstsq(hessian, gradient.reshape(-1), rcond=1e-12)[0]
            move = move.reshape(beta.shape)
        move *= min(1.0, 5.0 / max(1e-300, float(np.abs(move).max())))
        beta = beta - move
        if np.abs(move).max() < 1e-9:
            return Fit(beta[:, 1:], beta[:, 0], step, True)
    return Fit(beta[:, 1:], beta[:, 0], STEPS, False)


def _hessian(rows: Matrix, share: Matrix, p: Matrix) -> Matrix:
    """Of softmax, [classes * columns]**2."""
    classes, size = p.shape[1], rows.shape[1]
    found = np.empty((classes * size, classes * size))
    for j in range(classes):
        for k in range(classes):
            bend = share * p[:, j] * ((j == k) - p[:, k])
            found[j * size : (j + 1) * size, k * size : (k + 1) * size] = (
                rows * bend[:, None]
            ).T @ rows
    return found


def _conjugate(rows: Matrix, share: Matrix, p: Matrix, one: Matrix, gradient: Matrix) -> Matrix:
    """hessian**-1 gradient [classes, columns] by conjugate gradients, preconditioned by the columns' own products:
    of many coefficients the matrix itself is too large.
    """
    inverse = np.linalg.pinv((rows * share[:, None]).T @ rows / p.shape[1] + one, hermitian=True)

    def bent(v: Matrix) -> Matrix:
        eta = rows @ v.T
        off = p * (eta - (p * eta).sum(axis=1, keepdims=True))
        return np.asarray((off * share[:, None]).T @ rows + v @ one)

    move, left = np.zeros_like(gradient), gradient - gradient.mean(axis=0)
    turned = left @ inverse
    way, now = turned, float((left * turned).sum())
    aim = 1e-16 * now
    for _ in range(CONJUGATE):
        if now <= aim:
            break
        image = bent(way)
        length = now / float((way * image).sum())
        move, left = move + length * way, left - length * image
        turned = left @ inverse
        then = float((left * turned).sum())
        way, now = turned + then / now * way, then
    return move


def _errors(
    rows: Matrix, y: Matrix, beta: Matrix, base: Matrix, family: Family, l2: float,
    weight: Matrix | None, dispersion: float,
) -> Matrix:  # fmt: skip
    """sqrt(dispersion * diag((X' W X + rows l2)**-1)), the textbook's."""
    own = np.ones(y.size) if weight is None else weight
    mean, bend = mean_and_weight(rows @ beta + base, family)
    penalty = own.sum() * l2 * np.eye(beta.size)
    penalty[0, 0] = 0.0
    inverse = np.linalg.pinv((rows * (own * bend)[:, None]).T @ rows + penalty)
    if family.name not in ("logistic", "poisson"):
        variance = mean**family.power if family.log_link else np.ones_like(mean)
        dispersion = float((own * (y - mean) ** 2 / variance).sum() / max(1, y.size - beta.size))
    return np.asarray(np.sqrt(np.maximum(0.0, dispersion * np.diag(inverse))))


# --- metrics ----------------------------------------------------------------------------------------


def metrics(
    eta: Matrix, y: Matrix, family: Family, scale: float, weight: Matrix | None = None
) -> dict[str, float]:
    """What the family is judged by, for linear predictors and labels [rows], both in units of ``scale``."""
    if family.name == "logistic":
        return {"auc": auc(eta, y), "ks": ks(eta, y)}
    if family.classes > 1:
        shares, _ = mean_and_weight(eta, family)
        own = shares[np.arange(y.size), y.astype(np.int64)]
        told = {
            "log_loss": float(np.average(-np.log(np.maximum(own, 1e-300)), weights=weight)),
            "accuracy": float(np.average(own >= shares.max(axis=1), weights=weight)),
        }
        # On shares too, rows that weigh differently have no AUC.
        return told if weight is not None else {**told, "auc": against_the_rest(shares, y)}
    mean, _ = mean_and_weight(eta, family)
    off = mean - y
    found = {
        "rmse": float(np.sqrt(np.average(off**2, weights=weight))) * scale,
        "mae": float(np.average(np.abs(off), weights=weight)) * scale,
    }
    if family.log_link:
        each = deviance(y, mean, family.power)
        found["deviance"] = float(np.average(each, weights=weight)) * scale ** (2 - family.power)
    return found


def deviance(y: Matrix, mean: Matrix, p: float) -> Matrix:
    """Of each row, for a variance of mean**p; 0 where mean and label are equal."""
    logs = np.log(np.where(y > 0, y, 1.0)) - np.log(mean)
    if p == 1:
        return np.asarray(2 * (np.where(y > 0, y * logs, 0.0) - y + mean))
    if p == 2:
        return np.asarray(2 * (y / mean - 1 - logs))
    whole = y ** (2 - p) / ((1 - p) * (2 - p))
    return np.asarray(2 * (whole - y * mean ** (1 - p) / (1 - p) + mean ** (2 - p) / (2 - p)))


def auc(score: Matrix, y: Matrix) -> float:
    """P(a positive scores higher than a negative), ties half; nan without both."""
    order = np.unique(score, return_inverse=True)[1]
    positive = np.bincount(order, weights=y)
    negative = np.bincount(order, weights=1 - y)
    pairs = positive.sum() * negative.sum()
    below = np.cumsum(negative) - negative / 2
    return float((positive * below).sum() / pairs) if pairs else float("nan")


def against_the_rest(shares: Matrix, y: Matrix) -> float:
    """The mean over classes of the AUC of each against the rest, by its share; those without rows are left out."""
    each = [auc(shares[:, c], (y == c).astype(np.float64)) for c in range(shares.shape[1])]
    known = [value for value in each if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def ks(score: Matrix, y: Matrix) -> float:
    """The largest distance between the score's distributions of both classes; nan without both."""
    order = np.unique(score, return_inverse=True)[1]
    positive = np.bincount(order, weights=y)
    negative = np.bincount(order, weights=1 - y)
    if not positive.sum() * negative.sum():
        return float("nan")
    gap = np.cumsum(positive) / positive.sum() - np.cumsum(negative) / negative.sum()
    return float(np.abs(gap).max())
