"""Train the model that `refmodel` serves, and write the files made from its data.

    python3 -m venv target/venv && target/venv/bin/pip install scikit-learn==1.9.1 numpy==2.4.6
    target/venv/bin/python examples/train.py

Data: Breast Cancer Wisconsin (Diagnostic), W. Wolberg, O. Mangasarian, N. Street and W. Street, 1995,
UCI Machine Learning Repository, https://doi.org/10.24432/C5DW2B, licence CC BY 4.0. scikit-learn ships it.

Model: a perceptron with two hidden layers, smoothed over Gaussian noise (Cohen, Rosenfeld and Kolter,
"Certified Adversarial Robustness via Randomized Smoothing", 2019): the score of a row is the mean probability
of 128 noisy copies of it. The smoothing is what a request costs.

Every random draw comes from SEED, so with the versions above a second run writes the same files.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

SEED = 20
HERE = Path(__file__).parent
# The ten "worst" columns (mean of the three largest cells) tell nearly as much as all thirty.
COLUMNS = slice(20, 30)
HIDDEN, PENALTY = (128, 128), 1.0
# In standard deviations of a column. Each draw is used with both signs, so the noise has no mean of its own.
NOISE, DRAWS = 0.25, 64
PAYLOAD_ROWS, PAYLOAD_JITTER = 3000, 0.1
RECORDED_ROWS = 200


def main():
    random = np.random.default_rng(SEED)
    data = load_breast_cancer()
    names = [name.replace(" ", "_") for name in data.feature_names[COLUMNS]]
    rows, malignant = data.data[:, COLUMNS], 1 - data.target

    train, test, train_label, test_label = train_test_split(
        rows, malignant, test_size=0.25, stratify=malignant, random_state=SEED
    )
    scaler = StandardScaler().fit(train)
    machine = MLPClassifier(HIDDEN, alpha=PENALTY, max_iter=2000, random_state=SEED)
    machine.fit(scaler.transform(train), train_label)
    # Six digits of a weight are plenty, and half the file.
    machine.coefs_ = [rounded(layer) for layer in machine.coefs_]
    machine.intercepts_ = [rounded(layer) for layer in machine.intercepts_]
    draws = np.round(random.normal(0, NOISE, (DRAWS, rows.shape[1])), 3)

    def score(some):
        return np.array([
            machine.predict_proba(np.concatenate([row + draws, row - draws]))[:, 1].mean()
            for row in scaler.transform(some)
        ])

    hits = (score(test) >= 0.5) == test_label
    print(f"held-out rows classed right: {hits.sum()} of {len(hits)}")

    write_model(names, scaler, machine, draws)
    payload, label = jittered(random, rows, malignant)
    write_csv(HERE / "payload.csv", [*names, "label"], payload, label)
    record(payload[:RECORDED_ROWS], score)


def rounded(weights):
    return np.vectorize(lambda weight: float(f"{weight:.6g}"))(weights)


def write_model(names, scaler, machine, draws):
    """One JSON object; each column, unit and draw has a line of its own, so that a diff can be read."""
    model = {
        "columns": [
            {"name": name, "mean": mean, "scale": scale}
            for name, mean, scale in zip(names, scaler.mean_.tolist(), scaler.scale_.tolist())
        ],
        "layers": [
            [{"bias": bias, "weights": weights} for bias, weights in zip(intercept.tolist(), coef.T.tolist())]
            for intercept, coef in zip(machine.intercepts_, machine.coefs_)
        ],
        "draws": draws.tolist(),
    }
    text = json.dumps(model, separators=(",", ":"))
    for brackets in ["],[", "},{", "[{", "[[", '],"']:
        text = text.replace(brackets, brackets[:-1] + "\n" + brackets[-1])
    (HERE / "breast_cancer.json").write_text(text + "\n")


def jittered(random, rows, label):
    """Real rows, drawn with replacement and moved by a little noise; four significant digits, as measured."""
    pick = random.integers(0, len(rows), PAYLOAD_ROWS)
    noise = random.normal(0, PAYLOAD_JITTER, (PAYLOAD_ROWS, rows.shape[1])) * rows.std(axis=0)
    moved = np.maximum(rows[pick] + noise, 0)
    return np.vectorize(lambda cell: float(f"{cell:.4g}"))(moved), label[pick]


def record(rows, score):
    """What scikit-learn itself says about the first rows of the payload."""
    scores = score(rows)
    assert np.abs(scores - 0.5).min() > 1e-4, "a class hangs on the last digits: choose another seed"
    lines = [f"{int(s >= 0.5)},{s:.12f}" for s in scores]
    (HERE / "tests" / "predictions.csv").write_text("\n".join(["prediction,score", *lines]) + "\n")


def write_csv(path, header, rows, label):
    lines = [",".join([*(f"{cell:g}" for cell in row), str(mark)]) for row, mark in zip(rows, label)]
    path.write_text("\n".join([",".join(header), *lines]) + "\n")


if __name__ == "__main__":
    main()
