"""Warnings about values that a model reads as a bound or as their code alone."""

from __future__ import annotations

from survlstm.data.values.counts import ValueCounts

# Shares above which values far outside, and texts in place of numbers, give a warning.
MOST_FAR_OUTSIDE, MOST_TEXTS = 0.01, 0.05


def value_warnings(counts: ValueCounts | None) -> tuple[str, ...]:
    """Return sentences about large shares of values that can't be used as they are.

    Args:
        counts: Counts of the values; None if values are not used.

    Returns:
        A sentence each for more than 1 % of the numbers far outside of the training's values, for any number in
        another unit, and for more than 5 % texts among the values.
    """
    if counts is None:
        return ()
    warnings = []
    if counts.far_outside > MOST_FAR_OUTSIDE * counts.numbers:
        measures = sum(each.far_outside > 0 for each in counts.measures)
        warnings.append(
            f"{_share(counts.far_outside, counts.numbers)} numbers, of {_measures(measures)}, are far outside of the "
            "training's values of their code and unit and count as the lowest or the highest of those; values.csv "
            "counts them by code and unit. Check whether their units are named as they are, and remove wrong values "
            "from the data"
        )
    if counts.other_unit:
        warnings.append(
            f"{_share(counts.other_unit, counts.numbers)} numbers have no unit, or one in which the training had no "
            "values of their code or too few, although it had some in another; they are read as the code alone. "
            "Convert them to the unit of the others, or lower data.value_limits.min_values_per_bin"
        )
    values = counts.numbers + counts.texts + counts.infinite
    if counts.texts > MOST_TEXTS * values:
        warnings.append(
            f"{_share(counts.texts, values)} values are texts in place of numbers; they are read as the code alone. "
            'Write them as numbers where they are results such as "<5", or as codes of their own where they are words'
        )
    return tuple(warnings)


def _share(part: int, whole: int) -> str:
    share = 100 * part / whole
    return f"{part:,} of {whole:,} ({'below 0.1' if share < 0.1 else f'{share:.1f}'} %)"


def _measures(number: int) -> str:
    return f"{number:,} measure" + ("" if number == 1 else "s")
