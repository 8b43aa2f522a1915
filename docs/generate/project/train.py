"""Fits a line to noisy points by gradient descent, and reports the loss after every epoch."""

import random

import cloudtune.trial as trial

p = trial.params()
rate, momentum = p.get("learning_rate", 0.01), p.get("momentum", 0.9)
nesterov = p.get("optimizer", "plain") == "nesterov"

noise = random.Random(0)
points = [(x / 50, 2 * x / 50 + 1 + noise.gauss(0, 0.1)) for x in range(100)]

slope = intercept = slope_speed = intercept_speed = 0.0
for epoch in range(1, 31):
    ahead = momentum if nesterov else 0.0
    a, b = slope + ahead * slope_speed, intercept + ahead * intercept_speed
    errors = [(a * x + b - y, x) for x, y in points]
    slope_speed = momentum * slope_speed - rate * 2 * sum(e * x for e, x in errors) / len(points)
    intercept_speed = momentum * intercept_speed - rate * 2 * sum(e for e, _ in errors) / len(points)
    slope, intercept = slope + slope_speed, intercept + intercept_speed
    loss = sum((slope * x + intercept - y) ** 2 for x, y in points) / len(points)
    trial.report(loss=min(loss, 1e9), step=epoch)
    if loss > 1e6:
        break  # it diverges
