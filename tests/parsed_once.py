"""Config files that are parsed once a session: PyYAML takes a sixth of the time of composing a config."""

import io
from types import SimpleNamespace

import yaml
from omegaconf import omegaconf

_parsed = {}


def _load(stream, Loader):  # noqa: N803
    if isinstance(stream, str):
        return yaml.load(stream, Loader=Loader)
    key = (stream.name, stream.read())
    if key not in _parsed:
        # An error of the parser names the file.
        again = io.StringIO(key[1])
        again.name = stream.name
        _parsed[key] = yaml.load(again, Loader=Loader)
    return _parsed[key]


def parse_once(patch):
    """Let OmegaConf, which copies what it gets, parse the same text of the same file once until the patch is undone."""
    patch.setattr(omegaconf, "yaml", SimpleNamespace(**(vars(yaml) | {"load": _load})))
