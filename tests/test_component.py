"""Components, their options, and the registry."""

import subprocess
import sys
from typing import Annotated

import pytest
from pydantic import Field, TypeAdapter, ValidationError

import ddopt
from ddopt.builtin import COMPONENTS
from ddopt.setup.component import Chosen, Component, Settings
from ddopt.setup.registry import Registry


class Shape(Component):
    seam = "shape"


class Square(Shape):
    name = "square"

    class Config(Settings):
        side: float = Field(1.0, gt=0.0, description="length of a side")


class Point(Shape):
    name = "point"


def test_three_ways_to_the_same_component():
    for square in (
        Square(side=2.0),
        Square.Config(side=2.0).build(),
        Square(Square.Config(side=2)),
    ):
        assert isinstance(square, Square)
        assert square.config == Square.Config(side=2.0)


def test_repr_shows_what_differs_from_the_defaults():
    assert repr(Square(side=2.0)) == "Square(side=2.0)"
    assert repr(Square()) == "Square()"


def test_options_are_frozen_and_know_their_keys():
    with pytest.raises(ValidationError, match="frozen"):
        Square.Config().side = 3.0
    with pytest.raises(ValidationError, match="sied"):
        Square(sied=3.0)


def test_options_belong_to_one_component():
    class Tile(Shape):
        name = "tile"
        Config = Square.Config

    assert isinstance(Square.Config().build(), Square)
    assert isinstance(Tile.Config(side=3.0).build(), Tile)


def test_an_option_cannot_be_called_name():
    with pytest.raises(TypeError, match="called 'name'"):

        class Bad(Shape):
            name = "bad"

            class Config(Settings):
                name: str = "x"


def test_registry_finds_classes_and_offers_the_nearest():
    registry = Registry()
    registry.add(Square)
    registry.add("tests.test_component:Point", seam="shape", name="point")
    assert registry.find("shape", "square") is Square
    assert registry.find("shape", "point").name == "point"
    assert registry.names("shape") == ["point", "square"]
    with pytest.raises(ValueError, match=r"no shape named 'sqare'. Did you mean 'square'\?"):
        registry.find("shape", "sqare")


def test_a_name_that_resembles_none_says_how_a_file_is_named():
    registry = Registry()
    registry.add(Square)
    with pytest.raises(ValueError, match=r"Installed: square\. A plugin that is a .* --plugin"):
        registry.find("shape", "wobbly")
    with pytest.raises(ValueError, match=r"Installed: square\.$"):
        registry.find("shape", "sqare")


def test_a_name_that_is_missing_says_that_plugins_are_limited(monkeypatch):
    monkeypatch.setenv("DDOPT_PLUGINS", "pinn")
    with pytest.raises(ValueError, match=r"Installed: none. Loaded are .* of DDOPT_PLUGINS=pinn"):
        Registry().find("shape", "square")


def test_a_name_that_two_claim_is_neither_s_but_each_can_be_chosen():
    registry = Registry()
    registry.add(Square, provider="one 1.0", source="one")
    registry.add(Square, provider="one 1.0", source="one")  # again is no conflict
    twin = "tests.test_component:Point"
    registry.add(twin, seam="shape", name="square", provider="two 2.0", source="Two_2")
    with pytest.raises(ValueError, match=r"both one 1.0 and two 2.0; choose 'one:square' or 'Two"):
        registry.find("shape", "square")
    assert registry.find("shape", "one:square") is Square
    assert registry.spelled(Square) == "one:square"
    with pytest.raises(ValueError, match="Point', which is no shape of that"):
        registry.find("shape", "two-2:square")
    with pytest.raises(ValueError, match="no shape named 'square' comes from 'three'; it"):
        registry.find("shape", "three:square")
    with pytest.raises(ValueError, match="it registers two components as shape 'square'"):
        registry.add("x:Y", seam="shape", name="square", source="one")


def test_a_name_of_ddopt_s_own_stays_ddopt_s():
    registry = Registry()
    registry.add("x:Y", seam="shape", name="square", provider="two 2.0", source="two")
    registry.add(Square, provider="ddopt.builtin (ddopt 1.0)", source="ddopt")
    with pytest.warns(UserWarning, match="shape 'square' is ddopt's own; .* as 'two:square'"):
        assert registry.find("shape", "square") is Square
    assert registry.spelled(Square) == "square"
    assert "choose it as 'two:square'" in registry.remarks("shape", "square", "two")


@pytest.mark.parametrize("seam", ["acceptence", "hesian", "solvers", "decompositon"])
def test_a_misspelt_seam_is_told(seam):
    with pytest.raises(ValueError, match=f"there is no seam '{seam}'. Did you mean"):
        Registry().add("x:Y", seam=seam, name="square")


@pytest.mark.parametrize("bad", ["x:Y", Component, Shape])
def test_a_component_without_a_name_is_refused(bad):
    with pytest.raises(ValueError, match="needs a seam and a name"):
        Registry().add(bad)


@pytest.mark.parametrize("where", ["no_such_module:X", "tests.test_component:NoSuchClass"])
def test_a_class_that_cannot_be_loaded_is_a_readable_error(where):
    registry = Registry()
    registry.add(where, seam="shape", name="ghost", provider="one 1.0")
    with pytest.raises(ValueError, match=r"shape 'ghost' from one 1\.0 cannot be loaded"):
        registry.find("shape", "ghost")


def test_every_built_in_name_is_that_of_its_class():
    registry = Registry()
    for seam, names in COMPONENTS.items():
        for name, where in names.items():
            registry.add(where, seam=seam, name=name)
            found = registry.find(seam, name)
            assert (found.seam, found.name) == (seam, name)
            for key, field in found.Config.model_fields.items():
                assert field.description, f"{where}: option {key} has no description"


def test_a_chosen_field_reads_back_what_it_writes():
    adapter = TypeAdapter(Annotated[Settings, Chosen("acceptance")])
    chosen = adapter.validate_python({"name": "window", "length": 7})
    assert adapter.dump_python(chosen) == {"name": "window", "length": 7, "threshold": 1e-4}
    assert adapter.validate_python(adapter.dump_python(chosen)) == chosen
    assert adapter.validate_python(chosen.build()) == chosen


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "by its name or by a table with a name, not by 3"),
        ({"length": 3}, "by its name or by a table with a name"),
        ("windw", "Did you mean 'window'"),
        (Square(), "Square is a shape, but an acceptance is expected here"),
    ],
)
def test_a_wrong_choice_is_explained(value, message):
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(Annotated[Settings, Chosen("acceptance")]).validate_python(value)


def test_importing_ddopt_imports_nothing_slow():
    code = (
        "import sys, ddopt; from ddopt.setup import plugins;"
        "ddopt.hookimpl; plugins.manager(); dir(ddopt);"
        "print([m for m in ('torch', 'pydantic', 'numpy', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there():
    for name in ddopt.__all__:
        assert getattr(ddopt, name) is not None
        assert name in dir(ddopt)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ddopt.nothing  # noqa: B018
