"""Name the sex, race and ethnicity of persons."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from survlstm.data.sources.omop.concepts import NO_CONCEPT_PREFIX, Concept

# A word or a few, as in "F", "white" or "not hispanic".
_WORDS = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _/-]{0,31}")


def static_names(
    fact: str,
    concept: Int64[np.ndarray, " person"],
    source_value: pa.Array,
    *,
    known: Mapping[int, str],
    found: Mapping[int, Concept],
) -> np.ndarray:
    """Return the static code of each person for the gender, the race or the ethnicity.

    The name is that of the concept in the vocabulary, such as ``Gender/F``; without the vocabulary that of the model's
    own concepts; else ``Gender/`` and the source value; else ``OMOP/`` and the concept.

    Args:
        fact: ``gender``, ``race`` or ``ethnicity``.
        concept: Concept of each person, 0 for none.
        source_value: Source value of each person, a pyarrow array of strings.
        known: Names of the model's own concepts.
        found: Concepts of the vocabulary, by id.

    Returns:
        A name for each person, "" for none, as texts; a source value of more than a few words gives none.
    """
    encoded = source_value.dictionary_encode()
    words, word = encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)
    ids, number = np.unique(concept, return_inverse=True)
    pairs, index = np.unique(number * max(len(words), 1) + word, return_inverse=True)
    names = []
    for pair in pairs.tolist():
        concept_id, text = int(ids[pair // max(len(words), 1)]), words[pair % max(len(words), 1)]
        names.append(_name(fact, concept_id, text, known=known, found=found))
    return np.array(names, dtype=np.str_)[index] if names else np.empty(0, dtype=np.str_)


def _name(fact: str, concept: int, text: str, *, known: Mapping[int, str], found: Mapping[int, Concept]) -> str:
    if concept > 0 and concept in found:
        return found[concept].code
    if concept in known:
        return known[concept]
    if _WORDS.fullmatch(text):
        return f"{fact.capitalize()}/{text}"
    return f"{NO_CONCEPT_PREFIX}{concept}" if concept > 0 else ""
