"""Places of records: a path of the file system, or the URL of a PostgreSQL database."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

SCHEMES = ("postgresql://", "postgres://")
# Parameters of libpq whose value is a secret.
_SECRETS = ("password", "sslpassword", "oauth_client_secret")


def is_database_url(place: str) -> bool:
    """Return whether a place is the URL of a PostgreSQL database and not a path.

    Args:
        place: The value of ``data.path``.
    """
    return place.startswith(SCHEMES)


def refuse_password(place: str) -> None:
    """Raise ValueError, without quoting the place, if it holds a password: it would be written into config.yaml.

    Args:
        place: The value of ``data.path``.

    Raises:
        ValueError: The place holds a password, or is a URL that can't be parsed.
    """
    if "://" in place:
        try:
            parts = urlsplit(place)
            # A port that is no number raises as well.
            found = parts.password is not None or parts.port == 0
            names = {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
        except ValueError:
            raise ValueError(
                "must be a URL of the form postgresql://user@host:port/database; found one that can't be parsed"
            ) from None
        found = found or bool(names.intersection(_SECRETS))
    else:
        found = any(f"{name}=" in place.lower().replace(" ", "") for name in _SECRETS)
    if found:
        raise ValueError(
            "must hold no password, because data.path is written into config.yaml; found one. Leave it out, and set "
            "the environment variable PGPASSWORD or write it into ~/.pgpass"
        )


def expand_place(place: str) -> str:
    """Return a place with ``~`` replaced by the home folder; a URL is returned as it is.

    Args:
        place: The value of ``data.path``.
    """
    return place if is_database_url(place) else str(Path(place).expanduser())


def absolute_place(place: str) -> str:
    """Return a place that means the same from every working folder.

    Args:
        place: The value of ``data.path``.
    """
    return place if is_database_url(place) else str(Path(place).expanduser().absolute())


def place_exists(place: str) -> bool:
    """Return whether there is a file or folder of this name; True for a URL, which is not opened here.

    Args:
        place: The value of ``data.path``.
    """
    return is_database_url(place) or Path(place).expanduser().exists()


def place_name(place: str) -> str:
    """Return the short name of a place for pages and bundles: the last part of a path, or the name of a database.

    Args:
        place: The value of ``data.path``.

    Example:
        >>> place_name("postgresql://me@host:5432/cdm?sslmode=require")
        'cdm'
    """
    if is_database_url(place):
        return unquote(urlsplit(place).path.strip("/")) or "database"
    return Path(place).name
