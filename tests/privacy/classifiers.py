"""Small classifiers, written out: logistic regression, nearest neighbours, a decision stump; balanced accuracy."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import fmean, pstdev
from typing import Final

Vector = tuple[float, ...]
Labelled = Sequence[tuple[Vector, bool]]
Classifier = Callable[[Vector], bool]

NEIGHBOURS: Final = 101
#: More known cases than this make it slow, and no better.
KNOWN: Final = 1500


def balanced_accuracy(classify: Classifier, cases: Labelled) -> float:
    """Return the mean of both classes' shares that were told right; 0.5 is chance."""
    right = [[classify(vector) is label for vector, label in cases if label is kind] for kind in (True, False)]
    return fmean(fmean(each) for each in right)


def scaled(cases: Labelled) -> Callable[[Vector], Vector]:
    """Return the function that brings every feature to mean 0 and deviation 1, as `cases` have it."""
    columns = list(zip(*(vector for vector, _ in cases), strict=True))
    means, spreads = [fmean(one) for one in columns], [pstdev(one) or 1.0 for one in columns]
    return lambda vector: tuple(
        max(-4.0, min(4.0, (value - mean) / spread)) for value, mean, spread in zip(vector, means, spreads, strict=True)
    )


def logistic(cases: Labelled, *, rounds: int = 120, rate: float = 0.8) -> Classifier:
    """Return a logistic regression with classes weighted alike, by gradient descent; squares are features too."""
    scale = scaled(cases)

    def features(vector: Vector) -> Vector:
        plain = scale(vector)
        return (1.0, *plain, *(one * one for one in plain))

    rows = [(features(vector), label) for vector, label in cases]
    share = {kind: 0.5 / sum(label is kind for _, label in rows) for kind in (True, False)}
    weights = [0.0] * len(rows[0][0])
    for _ in range(rounds):
        slope = [0.0] * len(weights)
        for row, label in rows:
            told = 1 / (1 + math.exp(-sum(map(float.__mul__, weights, row))))
            wrong = share[label] * (label - told)
            slope = [one + wrong * value for one, value in zip(slope, row, strict=True)]
        weights = [one + rate * value for one, value in zip(weights, slope, strict=True)]
    return lambda vector: sum(map(float.__mul__, weights, features(vector))) > 0


def nearest(cases: Labelled) -> Classifier:
    """Return what most of the nearest neighbours are, each class weighted alike."""
    scale = scaled(cases)
    rows = [(scale(vector), label) for vector, label in cases[:: max(1, len(cases) // KNOWN)]]
    share = {kind: 1 / sum(label is kind for _, label in rows) for kind in (True, False)}

    def classify(vector: Vector) -> bool:
        place = scale(vector)
        close = sorted((math.dist(place, other), label) for other, label in rows)[:NEIGHBOURS]
        return sum(share[label] if label else -share[label] for _, label in close) > 0

    return classify


def stump(cases: Labelled) -> Classifier:
    """Return the single best threshold on a single feature."""
    best: tuple[float, int, float, bool] = (0.5, 0, math.inf, True)
    for feature in range(len(cases[0][0])):
        values = sorted({vector[feature] for vector, _ in cases})
        step = max(1, len(values) // 40)
        for low, high in list(pairwise(values))[::step]:
            score = balanced_accuracy(_over(feature, (low + high) / 2, above=True), cases)
            best = max(best, (score, feature, (low + high) / 2, True), (1 - score, feature, (low + high) / 2, False))
    return _over(best[1], best[2], above=best[3])


def _over(feature: int, threshold: float, *, above: bool) -> Classifier:
    return lambda vector: (vector[feature] > threshold) is above
