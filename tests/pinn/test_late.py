"""What DeepXDE names and seldom uses is imported when it is used, and nobody notices."""

import sys

import pytest

from ddopt_pinn.late import imported_late
from tests.runs import ROOT

USED = """
import sys
from ddopt_pinn.library import load
dde = load()
seldom = ("sklearn", "skopt", "scipy.stats", "scipy.spatial", "matplotlib", "mpl_toolkits")
assert not [name for name in seldom if name in sys.modules]
import numpy as np
square = dde.geometry.Rectangle([0, 0], [1, 1])
for how in ("pseudo", "LHS", "Halton", "Hammersley", "Sobol"):
    assert square.random_points(8, how).shape == (8, 2)
ball = dde.geometry.Hypersphere([0, 0, 0], 1)
assert np.allclose(np.linalg.norm(ball.random_boundary_points(4), axis=1), 1)
assert dde.geometry.Polygon([[0, 0], [1, 0], [1, 1], [0, 2]]).random_points(5).shape == (5, 2)
assert dde.data.GRF(length_scale=0.2).random(2).shape[0] == 2
from deepxde.utils import external
scaler, one, _ = external.standardize(np.arange(6.0).reshape(3, 2), np.ones((1, 2)))
assert np.allclose(one.mean(0), 0)
assert scaler.mean_.tolist() == [2.0, 3.0]
assert external.plt.figure
import scipy.stats
assert scipy.stats.norm.cdf(0.0) == 0.5
"""


def test_everything_works_that_is_imported_late():
    import os
    import subprocess

    paths = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
    settings = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-c", USED], env=settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_is_imported_already_is_left_alone():
    import numpy as np

    with imported_late(("numpy", "no_such_module")):
        import numpy as again
        from no_such_module import something

        assert again is np
    assert "no_such_module" not in sys.modules
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        something.anything()
