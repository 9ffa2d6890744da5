"""The plugin manager: pluggy, with a wall around each plugin.

A plugin that cannot be imported, or that raises, is listed as broken with its reason and stops
nothing else; it becomes an error where a run names something that nobody else provides, or at once
with ``DDOPT_STRICT_PLUGINS=1``. ``DDOPT_PLUGINS`` limits what is loaded (a list separated by
commas; empty for none), and ``DDOPT_TRACE_PLUGINS=1`` prints every hook call.
"""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module, metadata
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from ddopt.setup import hookspecs
from ddopt.setup.notice import warn
from ddopt.setup.registry import Registry, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


GROUP = "ddopt"


class PluginWarning(UserWarning):
    """A plugin does not work, and the rest goes on without it."""


@dataclass
class Plugin:
    """One plugin: where it comes from, what it registered, and what is wrong with it."""

    name: str  # of the module
    distribution: str = ""  # empty for a single file
    version: str = ""
    code: Any = None  # the module, or whatever else the entry point names
    components: list[tuple[str, str]] = field(default_factory=list)  # (seam, name)
    reason: str = ""  # why it is broken; empty if it is not

    @property
    def provider(self) -> str:
        """How messages call it."""
        return f"{self.name} ({self.distribution} {self.version})" if self.version else self.name

    @property
    def module(self) -> str:
        """The name of its module, wherever a file of it lies."""
        return self.name if self.distribution else Path(self.name).stem

    def runs(self, path: Path) -> bool:
        """Whether it is this file, loaded by its path or installed from where it lies."""
        return str(path) in (self.name, getattr(self.code, "__file__", None))

    @property
    def status(self) -> str:
        """``ok`` or ``broken``."""
        return "broken" if self.reason else "ok"


class PluginManager:
    """Loads plugins, keeps the names they register, and calls their hooks one by one."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.plugins: list[Plugin] = []
        self.strict = os.environ.get("DDOPT_STRICT_PLUGINS", "") not in ("", "0")
        self._pluggy = pluggy.PluginManager(GROUP)
        self._pluggy.add_hookspecs(hookspecs)
        self._callers: dict[tuple[str, str], Any] = {}
        if os.environ.get("DDOPT_TRACE_PLUGINS", "") not in ("", "0"):
            self._pluggy.add_hookcall_monitoring(_trace, lambda *_: None)

    def load_module(self, name: str, distribution: str = GROUP) -> None:
        """Load a module that is a plugin of the core."""
        plugin = Plugin(name, distribution, _version(distribution))
        self._load(plugin, lambda: import_module(name))

    def load_entry_points(self) -> None:
        """Load what is installed under the ``ddopt`` entry-point group, in order of name."""
        entries = sorted(metadata.entry_points(group=GROUP), key=lambda entry: entry.name)
        wanted = os.environ.get("DDOPT_PLUGINS")
        chosen = None if wanted is None else {w.strip() for w in wanted.split(",") if w.strip()}
        answered = set()
        for entry in entries:
            module = entry.value.partition(":")[0]
            distribution = entry.dist.name if entry.dist else ""
            called = {entry.name, module, distribution}
            if chosen is not None and not called & chosen:
                continue
            answered |= called
            version = entry.dist.version if entry.dist else ""
            self._load(Plugin(module, distribution, version), entry.load)
        for name in sorted((chosen or set()) - answered):
            self._break(Plugin(name), "DDOPT_PLUGINS names it, but it is not installed")

    def load_file(self, path: Path) -> Plugin:
        """Load a single file as a plugin, once.

        Raises ``ValueError`` if it does not work: somebody has asked for it.
        """
        try:
            path = path.resolve()
        except (OSError, RuntimeError) as error:  # a loop of links is one or the other
            raise ValueError(f"there is no plugin file {path}: {error}") from None
        known = next((p for p in self.plugins if p.runs(path)), None)
        plugin = known or Plugin(str(path))
        if known is None:
            if not path.is_file():
                raise ValueError(f"there is no plugin file {path}")
            self._refuse_twin(path)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PluginWarning)
                self._load(plugin, lambda: _execute(path))
        if plugin.reason:
            raise ValueError(f"plugin {path} does not work: {plugin.reason}")
        return plugin

    def _refuse_twin(self, path: Path) -> None:
        """An installed plugin of the file's name is in its way; say so."""
        twin = next((p for p in self.plugins if p.name == path.stem and p.distribution), None)
        if twin is not None:
            raise ValueError(
                f"{path} has the name of an installed plugin, {twin.provider}: leave the file out "
                "(of plugins in the run file, of --plugin), or uninstall the other"
            )

    def _load(self, plugin: Plugin, load: Callable[[], Any]) -> None:
        try:
            code = load()
            plugin.code = code() if isinstance(code, type) else code
            self._pluggy.register(plugin.code, name=plugin.name)
        except (Exception, SystemExit) as error:
            self._break(plugin, _reason(error), error)
            return
        self.plugins.append(plugin)
        mistake = _mistake(plugin.code)
        if mistake:
            self._break(plugin, mistake)
        self._call_one(plugin, "ddopt_register", {"register": self._register_for(plugin)})

    def _register_for(self, plugin: Plugin) -> Callable[..., None]:
        def register(component: type[Any] | str, **named: str) -> None:
            """Claim a name; a name that is taken breaks this plugin but not the registration."""
            try:
                claim = self.registry.add(component, provider=plugin.provider, **named)
            except ValueError as error:
                self._break(plugin, str(error))
            else:
                plugin.components.append(claim)

        return register

    def _break(self, plugin: Plugin, reason: str, error: BaseException | None = None) -> None:
        """Note that a plugin is broken; an error in strict mode, a warning otherwise."""
        if all(known is not plugin for known in self.plugins):
            self.plugins.append(plugin)
        plugin.reason = f"{plugin.reason}; {reason}" if plugin.reason else reason
        message = f"plugin {plugin.provider} is broken: {reason}"
        if self.strict:
            raise ValueError(f"{message} (DDOPT_STRICT_PLUGINS is set)") from error
        warn(message, PluginWarning)

    def call(self, hook: str, **arguments: Any) -> None:
        """Call a hook of every working plugin, in the order in which they were loaded.

        A plugin that raises is broken from then on, and not called again.
        """
        for plugin in self.plugins:
            if plugin.code is not None and not plugin.reason:
                self._call_one(plugin, hook, arguments)

    def states(self) -> dict[str, Any]:
        """What plugins remember for their hooks, by module: for checkpoints."""
        found: dict[str, Any] = {}
        for plugin in self._mindful():
            with self._walled(plugin, "state_dict"):
                found[plugin.module] = plugin.code.state_dict()
        return found

    def restore(self, saved: dict[str, Any]) -> None:
        """Give plugins what ``states`` took from them; one that is new has nothing to restore."""
        for plugin in self._mindful():
            if plugin.module in saved:
                with self._walled(plugin, "load_state_dict"):
                    plugin.code.load_state_dict(saved[plugin.module])

    def _mindful(self) -> list[Plugin]:
        """The working plugins that have both functions."""
        both = ("state_dict", "load_state_dict")
        return [
            plugin
            for plugin in self.plugins
            if not plugin.reason
            and all(callable(getattr(plugin.code, name, None)) for name in both)
        ]

    @contextmanager
    def _walled(self, plugin: Plugin, what: str) -> Iterator[None]:
        """A plugin that raises is broken from then on, and stops nothing else."""
        try:
            yield
        except (Exception, SystemExit) as error:
            self._break(plugin, f"{what} raised {_reason(error)}", error)

    def _call_one(self, plugin: Plugin, hook: str, arguments: dict[str, Any]) -> None:
        caller = self._callers.get((plugin.name, hook))
        if caller is None:
            others = [code for code in self._pluggy.get_plugins() if code is not plugin.code]
            caller = self._pluggy.subset_hook_caller(hook, others)
            self._callers[plugin.name, hook] = caller
        with self._walled(plugin, hook):
            caller(**arguments)

    def find(self, seam: str, name: str) -> type[Any]:
        """The component of a name; an unknown one is told with the plugins that are broken."""
        try:
            return self.registry.find(seam, name)
        except UnknownNameError as error:
            broken = [f"{p.provider}: {p.reason}" for p in self.plugins if p.reason]
            if not broken:
                raise
            raise UnknownNameError(
                f"{error} It may come from a plugin that is broken: {'; '.join(broken)}"
            ) from None

    def hooks(self, plugin: Plugin) -> list[str]:
        """The hooks that a plugin implements."""
        callers = self._pluggy.get_hookcallers(plugin.code) if plugin.code is not None else None
        return sorted(caller.name for caller in callers or [])


@cache
def manager() -> PluginManager:
    """The plugin manager of this process, loaded when first asked for."""
    made = PluginManager()
    made.load_module("ddopt.builtin")
    made.load_entry_points()
    return made


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _execute(path: Path) -> Any:
    """Run a file as a module of its own name."""
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is not a Python file")
    module = module_from_spec(spec)
    if path.stem in sys.modules:
        raise ImportError(f"a module {path.stem!r} is imported already; rename the file")
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module


def _mistake(code: Any) -> str:
    """Functions that pluggy would never call, in a sentence: without a hook, or without a mark."""
    marked = [name for name in dir(code) if hasattr(getattr(code, name, None), "ddopt_impl")]
    hooks = [name for name in dir(hookspecs) if name.startswith("ddopt_")]
    if set(marked) - set(hooks):
        return f"no such hook: {', '.join(sorted(set(marked) - set(hooks)))}"
    bare = [name for name in hooks if hasattr(code, name) and name not in marked]
    if bare:
        return f"{', '.join(bare)} must be marked with @ddopt.hookimpl"
    return "" if marked else f"it has no hook: a function marked with @ddopt.hookimpl, {hooks}"


def _reason(error: BaseException) -> str:
    from ddopt.setup.extras import remedy

    return f"{type(error).__name__}: {error}{remedy(error)}"


def _trace(hook: str, methods: Sequence[pluggy.HookImpl], arguments: Mapping[str, Any]) -> None:
    for method in methods:
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        sys.stderr.write(f"{hook}({given}) -> {method.plugin_name}\n")
