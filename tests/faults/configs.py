"""Run files and overrides put together at random: a config, or one short message."""

from __future__ import annotations

import string

from ddopt.setup.component import lookup
from ddopt.setup.config import ConfigError, RunConfig, dumps, load
from ddopt.setup.plugins import manager
from tests.faults import variants
from tests.faults.processes import finish, start

VALUES = (
    "0", "1", "2", "3", "-1", "7", "100", "0.5", "1e-3", "1e-300", "1e400", "-0.0", "nan", "inf",
    "-inf", "true", "false", "none", '""', '"a"', "[]", "{}", "[1, 2]", "{name='sgd'}", "[[]]",
    "99999999999999999999", "1979-05-27", "'\\u0000'", "{a={b=1}}", "[0.1, 'x']", "é", "1_000",
)  # fmt: skip
TRIED = 0.1  # of the configs that are ones
SEAMS = ("strategy", "solver", "sampling", "hessian", "subproblem", "acceptance", "radius")
TEXT = string.ascii_lowercase + "=.[]{}\"'#\n 0123456789_-,é\x00"


def _names(seam: str) -> list[str]:
    return sorted(manager().registry.names(seam))


def _keys(settings, prefix: str = "") -> list[str]:
    """The dotted keys of options, those of nested components included."""
    found = []
    for key in type(settings).model_fields:
        value = getattr(settings, key)
        found.append(f"{prefix}{key}")
        if hasattr(value, "model_fields_set"):
            found += [f"{prefix}{key}.name", *_keys(value, f"{prefix}{key}.")]
    return found


def attempt(random, place, references) -> None:
    """A few changes of a run file, some of which make sense; or a file with errors in it."""
    file = place / "relay.toml"
    text = variants.RUN_FILE
    base = load(variants.run_file(place), random.choice(list(variants.VARIANTS.values())))
    keys = _keys(base)
    changes = [f"strategy={random.choice(_names('strategy'))}"] if random.random() < 0.5 else []
    for _ in range(random.randrange(4)):
        changes.append(_change(random, keys))
    if random.random() < 0.3:
        text = _torn(random, text)
    file.write_text(text, encoding="utf-8")
    try:
        config = load(file, changes)
    except ConfigError as error:
        message = str(error)
    else:
        message = ""
        assert isinstance(config, RunConfig)
        file.write_text(dumps(config), encoding="utf-8")
        assert load(file) == config, f"it does not read back as it was: {changes}"
        if random.random() < TRIED:
            _try(file, place / f"{random.random()}.log", changes)
    assert len(message) < 3000, f"a message of {len(message)} letters: {changes}"


def _try(file, log, changes) -> None:
    """One iteration works, or one message says why not."""
    victims = start(["run", file, "--dry-run"], log)
    (code,) = finish(victims)
    said = victims[0].said()[-700:]
    assert code in (0, 2), f"exit code {code} with {changes}: {said}"
    assert "Traceback" not in said, f"{changes}: {said}"


def _change(random, keys) -> str:
    kind = random.random()
    if kind < 0.3:
        seam = random.choice(SEAMS)
        place = [key for key in keys if key.rpartition(".")[2] == seam] or [seam]
        return f"{random.choice(place)}={random.choice(_names(seam))}"
    if kind < 0.9:
        return f"{random.choice(keys)}={random.choice(VALUES)}"
    if kind < 0.95:
        name = random.choice(_names("strategy"))
        options = lookup("strategy", name).Config.model_fields
        return (
            f"strategy={{name='{name}', {random.choice([*options, 'x'])}={random.choice(VALUES)}}}"
        )
    return "".join(random.choices(TEXT, k=random.randrange(1, 30)))


def _torn(random, text: str) -> str:
    where = random.randrange(len(text))
    piece = "".join(random.choices(TEXT, k=random.randrange(1, 20)))
    return text[:where] + piece + text[where + random.choice([0, len(piece)]) :]
