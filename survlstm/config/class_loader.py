"""Import a class by its name, and check settings against its constructor."""

from __future__ import annotations

import difflib
import hashlib
import inspect
import json
import sys
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from survlstm.utils.errors import first_line

# Folders with config files that the present command names; a class may lie beside the config that names it.
_config_folders: list[Path] = []
# Characters of a message of somebody else's code.
MOST_SHOWN = 300


def search_beside(folders: Iterable[Path]) -> None:
    """Let classes be found in folders with config files, in addition to the Python path.

    The folders are added to ``sys.path`` only when a class that may be imported is loaded, behind everything that is
    there, so that nothing in them can take the place of an installed package.

    Args:
        folders: Folders that the user's own command names.
    """
    for folder in folders:
        if folder not in _config_folders:
            _config_folders.append(folder)


def named_classes(values: Any) -> list[str]:
    """Return every ``_target_`` in a config, at any depth.

    Args:
        values: Nested plain values.

    Returns:
        The dotted names.
    """
    if isinstance(values, list):
        return [name for value in values for name in named_classes(value)]
    if not isinstance(values, dict):
        return []
    own = values.get("_target_")
    return [*([own] if isinstance(own, str) else []), *named_classes(list(values.values()))]


def load_class(target: str) -> Callable[..., Any]:
    """Import a class, or a function that makes an object.

    The code of its module is run: call this only for a class that the user has named.

    Args:
        target: The dotted name, as in ``mypackage.models.MyGRU``.

    Returns:
        The class.

    Raises:
        ValueError: The name has no dot, its module can't be imported, or has no such class.
    """
    module_name, _, name = target.rpartition(".")
    if not module_name:
        raise ValueError(f"must be the dotted name of a class, as in mypackage.MyClass; found {target!r}")
    for folder in _config_folders:
        for path in (folder, *sorted(child for child in folder.glob("*/") if any(child.glob("*.py")))):
            if str(path) not in sys.path:
                sys.path.append(str(path))
    try:
        module = import_module(module_name)
    # Somebody else's module may raise anything while it is imported.
    except Exception as error:
        raise ValueError(
            f"must name a class that can be imported; {target} can't: "
            f"{first_line(error, with_type=True, at_most=MOST_SHOWN)}. Install its package, set PYTHONPATH, or put the "
            "module beside the config file in the folder of --config-dir"
        ) from error
    found = getattr(module, name, None)
    if not callable(found):
        near = difflib.get_close_matches(name, dir(module), n=1)
        hint = f"; the nearest is {module_name}.{near[0]}" if near else ""
        raise ValueError(f"must name a class that can be imported; {module_name} has no {name}{hint}")
    return typing.cast("Callable[..., Any]", found)


def check_methods(found: Callable[..., Any], target: str, methods: Sequence[str], protocol: str) -> None:
    """Check that a class has the methods of a protocol.

    Args:
        found: The class; a function is not checked, because its result is not known yet.
        target: The name of the class, for the message.
        methods: Names of the methods.
        protocol: Dotted name of the protocol, for the message.

    Raises:
        ValueError: A method is missing.
    """
    missing = [name for name in methods if not hasattr(found, name)] if inspect.isclass(found) else []
    if missing:
        raise ValueError(
            f"must name a class with the methods {', '.join(methods)} ({protocol}); {target} lacks {', '.join(missing)}"
        )


def checked_settings(
    found: Callable[..., Any],
    settings: Mapping[str, Any],
    *,
    section: str,
    target: str,
    given: Sequence[str],
    sometimes_given: Sequence[str] = (),
) -> dict[str, Any]:
    """Check settings against the constructor of a class, and convert them to the types that it asks for.

    A value must have the type of the annotation; a list of the config becomes a tuple, and a text becomes a ``Path``,
    where the annotation says so. Parameters without an annotation take any value.

    Args:
        found: The class.
        settings: Values of the config by name.
        section: Key of the config's section, for messages.
        target: The name of the class, for messages.
        given: Names of the arguments that survlstm passes itself.
        sometimes_given: Names of arguments that survlstm passes itself to a constructor that takes them.

    Returns:
        The settings to pass to the constructor.

    Raises:
        ValueError: One line per fault: a setting that the constructor does not have, with the nearest one; a missing
            one; a value of another type; or an argument that survlstm passes and the constructor does not take.
    """
    try:
        parameters = inspect.signature(found).parameters
    except (TypeError, ValueError):
        return dict(settings)
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    by_name = {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}
    }
    own = [name for name in by_name if name not in {*given, *sometimes_given}]
    faults = []
    lacking = [name for name in given if name not in by_name and not takes_any]
    if lacking:
        faults.append(f"{section}._target_: {target} must take the keyword argument {', '.join(lacking)}")
    for name in settings:
        if name in {*given, *sometimes_given}:
            faults.append(f"{section}.{name} is passed to {target} by survlstm itself; leave it out")
        elif name not in by_name and not takes_any:
            faults.append(_unknown(name, own, section, target))
    faults += [
        f"{section}.{name} is missing: {target} has no default for it; set {section}.{name}=VALUE"
        for name in own
        if by_name[name].default is inspect.Parameter.empty and name not in settings
    ]
    types = _annotations(found)
    converted = dict(settings)
    for name in settings.keys() & set(own):
        try:
            converted[name] = _converted(settings[name], types.get(name, Any))
        except ValueError as error:
            faults.append(f"{section}.{name} must be what {target} takes: {error}; found {settings[name]!r:.200}")
    if faults:
        raise ValueError("\n".join(faults))
    return converted


def takes_argument(found: Callable[..., Any], name: str) -> bool:
    """Return whether a class can be called with a keyword argument.

    Args:
        found: The class.
        name: The argument.

    Returns:
        True if the constructor names the argument or takes any; True as well where its arguments can't be read.
    """
    try:
        parameters = inspect.signature(found).parameters
    except (TypeError, ValueError):
        return True
    return name in parameters or any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())


def class_digest(found: Callable[..., Any]) -> str:
    """Return a digest of the code that defines a class and the classes that it inherits from.

    It does not cover the modules that this code imports, nor classes without a source file.

    Args:
        found: The class, or a function.

    Returns:
        Hexadecimal digits.
    """
    digest = hashlib.sha256()
    for each in inspect.getmro(found) if inspect.isclass(found) else (found,):
        with suppress(TypeError, OSError):
            if each.__module__.partition(".")[0] not in {"builtins", "survlstm", "torch", "typing", "abc"}:
                digest.update(inspect.getsource(inspect.getmodule(each) or each).encode())
    return digest.hexdigest()


def _unknown(name: str, own: Sequence[str], section: str, target: str) -> str:
    near = difflib.get_close_matches(name, own, n=1, cutoff=0.5)
    hint = f"the nearest is {section}.{near[0]}" if near else f"it has {', '.join(own) or 'none'}"
    return f"{section}.{name} is not a setting of {target}; {hint}"


def _annotations(found: Callable[..., Any]) -> dict[str, Any]:
    """Return the evaluated types of the parameters; those that can't be evaluated are left out."""
    function = found.__init__ if inspect.isclass(found) else found
    try:
        return typing.get_type_hints(function)
    # An annotation may name anything, such as a class that is imported for type checkers only.
    except Exception:
        return {}


def _converted(value: Any, annotation: Any) -> Any:
    """Return the value as the type that the annotation asks for.

    Raises:
        ValueError: The value has another type.
    """
    try:
        adapter = TypeAdapter(annotation, config=ConfigDict(strict=True, arbitrary_types_allowed=True))
        # JSON has the same types as a config file, and in strict mode lists still become tuples, and texts paths.
        return adapter.validate_json(json.dumps(value))
    except ValidationError as error:
        faults = error.errors(include_url=False)
        # Values of the config can't be checked against a class that pydantic does not know.
        if any(fault["type"] == "is_instance_of" for fault in faults):
            return value
        raise ValueError(faults[0]["msg"].replace("Input should be", "must be")) from error
    except (PydanticSchemaGenerationError, PydanticUserError, TypeError, ValueError):
        return value
