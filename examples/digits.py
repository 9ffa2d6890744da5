"""Train a small classifier on scikit-learn's digits, without a learning rate."""

import torch
from sklearn.datasets import load_digits

import ddopt

images, labels = load_digits(return_X_y=True)
x, y = torch.tensor(images / 16).float(), torch.tensor(labels)
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.Tanh(), torch.nn.Linear(32, 10))
optimizer = ddopt.SAPTS(model.parameters(), variant="D", subdomains=4)


def closure(part):
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(model(part[0]), part[1])
    loss.backward()
    return loss


for _ in range(6):
    loss = optimizer.step(closure, (x[:1500], y[:1500]))
accuracy = (model(x[1500:]).argmax(1) == y[1500:]).double().mean()
print(f"loss {loss:.1e}, test accuracy {accuracy:.1%}")
