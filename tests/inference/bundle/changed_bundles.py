"""Change a file of a written bundle, with checksums that match."""

import json

from survlstm.inference.bundle.container import INDEX, read_container, write_container


def everything_in(folder):
    return read_container(folder, json.loads((folder / INDEX).read_text())["files"])


def changed(folder, name, change):
    """Copy a bundle with one file changed and the checksums updated to match."""
    container = everything_in(folder)
    other = folder.with_name("changed")
    write_container(other, container.files | {name: change(container.files[name])}, container.about)
    return other


def changed_plain(folder, name, change):
    return changed(folder, name, lambda data: json.dumps(change(json.loads(data))).encode())
