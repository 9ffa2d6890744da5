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
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from ddopt.setup import hookspecs
from ddopt.setup.loading import execute, guarded
from ddopt.setup.notice import warn
from ddopt.setup.plugin import Plugin, mistaken, twice
from ddopt.setup.registry import CORE, SEAMS, Registry, UnknownNameError
from ddopt.setup.requirement import asked_by, unmet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


GROUP = CORE


class PluginWarning(UserWarning):
    """A plugin does not work, and the rest goes on without it."""


class PluginManager:
    """Loads plugins, keeps the names they register, and calls their hooks one by one."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.plugins: list[Plugin] = []
        self.strict = os.environ.get("DDOPT_STRICT_PLUGINS", "") not in ("", "0")
        self._pluggy = pluggy.PluginManager(GROUP)
        self._pluggy.add_hookspecs(hookspecs)
        self._callers: dict[tuple[int, str], Any] = {}
        if os.environ.get("DDOPT_TRACE_PLUGINS", "") not in ("", "0"):
            self._pluggy.add_hookcall_monitoring(_trace, lambda *_: None)

    def load_module(self, name: str, distribution: str = GROUP) -> None:
        """Load a module that is a plugin of the core."""
        plugin = Plugin(name, distribution, _version(distribution))
        self._load(plugin, lambda: import_module(name))

    def load_entry_points(self) -> None:
        """Load what is installed under the ``ddopt`` entry-point group, in order of name."""
        entries = sorted(metadata.entry_points(group=GROUP), key=lambda entry: entry.name)
        seen: dict[str, str] = {}  # who has brought what, by what an entry point names
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
            plugin = Plugin(module, distribution, version)
            reason = unmet(entry.dist.requires or ()) if entry.dist else ""
            if reason := reason or twice(entry.value, distribution, seen):
                self._break(plugin, reason)
                continue
            self._load(plugin, entry.load, entry.value)
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
                self._load(plugin, lambda: execute(path))
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

    def _load(self, plugin: Plugin, load: Callable[[], Any], what: str = "") -> None:
        with guarded(plugin.provider):
            try:
                code = load()
                plugin.code = code() if isinstance(code, type) else code
                self._pluggy.register(plugin.code, name=what or plugin.name)
                self._callers.clear()  # each has those that it leaves out: all others of its time
            except (Exception, SystemExit) as error:
                self._break(plugin, _reason(error), error)
                return
            self.plugins.append(plugin)
            mistake = asked_by(plugin.code) or mistaken(plugin.code)
            if mistake:
                self._break(plugin, mistake)
            self._call_one(plugin, "ddopt_register", {"register": self._register_for(plugin)})

    def _register_for(self, plugin: Plugin) -> Callable[..., None]:
        def register(component: type[Any] | str, **named: str) -> None:
            """Claim a name; what is no component breaks this plugin but not the registration."""
            origin = {"provider": plugin.provider, "source": plugin.source}
            try:
                claim = self.registry.add(component, **origin, **named)
            except (TypeError, ValueError) as error:
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

    @contextmanager
    def only(self, code: Any) -> Iterator[Plugin | None]:
        """Let one plugin of those that watch runs take part, or none where ``code`` is None.

        Plugins of the core's distribution stay. For tests of hooks.
        """
        before = self.plugins
        known = next((p for p in before if p.code is code), None) if code is not None else None
        plugin = known or (Plugin(getattr(code, "__name__", "tested"), code=code) if code else None)
        if plugin is not None and known is None:
            self._pluggy.register(code, name=f"tested {plugin.name}")
            self._callers.clear()  # as in _load
        self.plugins = [p for p in before if p.distribution == CORE]
        self.plugins += [plugin] if plugin is not None else []
        try:
            yield plugin
        finally:
            self.plugins = before
            if plugin is not None and known is None:
                self._pluggy.unregister(code)
                self._callers.clear()

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
        caller = self._callers.get((id(plugin), hook))
        if caller is None:
            others = [code for code in self._pluggy.get_plugins() if code is not plugin.code]
            caller = self._pluggy.subset_hook_caller(hook, others)
            self._callers[id(plugin), hook] = caller
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

    def remarks(self, plugin: Plugin) -> list[str]:
        """What is to be known of the names that a working plugin registers."""
        found = [self.registry.remarks(*claim, plugin.source) for claim in plugin.components]
        opened = sorted({seam for seam, _ in plugin.components} - {*SEAMS})
        return [
            *(f"claims {remark}" for remark in found if remark),
            *(f"opens the seam {seam!r}" for seam in opened),
        ]

    def implementing(self, hook: str) -> list[str]:
        """Who has a hook, as messages call them; those of the core's distribution left out."""
        return [p.provider for p in self.plugins if hook in self.hooks(p) and not p.reason]

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


def load_plugin(file: str | Path) -> None:
    """Load a single file as a plugin, for scripts; ``--plugin`` does it on the command line.

    Raises ``ValueError`` if it does not work.
    """
    manager().load_file(Path(file))


def spelled(component: type[Any]) -> str:
    """The name that finds a class in this process; its own, where no plugins are loaded."""
    loaded = manager.cache_info().currsize
    return manager().registry.spelled(component) if loaded else component.name


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _reason(error: BaseException) -> str:
    from ddopt.setup.extras import remedy

    return f"{type(error).__name__}: {error}{remedy(error)}"


def _trace(hook: str, methods: Sequence[pluggy.HookImpl], arguments: Mapping[str, Any]) -> None:
    for method in methods:
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        sys.stderr.write(f"{hook}({given}) -> {method.plugin_name}\n")
