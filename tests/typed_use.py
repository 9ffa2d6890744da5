"""Calls as the documentation has them, for the type checker alone: `make lint` reads this file."""

import ddopt


def calls() -> tuple[ddopt.Result, ddopt.Comparison]:
    result = ddopt.train("poisson2d.toml", **{"stop.iterations": 3}, strategy="trust_region")
    result = ddopt.train({"problem": "poisson2d"}, out="here", show=False)
    result.resume(**{"stop.iterations": 5})
    return result, ddopt.compare_methods("poisson2d.toml", **{"stop.iterations": 3}, seeds=1)
