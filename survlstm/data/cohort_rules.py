"""Rules of the user's own on who takes part, evaluated from what was known at each subject's prediction time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Int64

from survlstm.data.known_times import DAY_SECONDS
from survlstm.data.sources.protocol import Source, SourceWithHierarchy
from survlstm.data.visit_splits import count_earlier
from survlstm.data.visits import Visits
from survlstm.utils.errors import ConfigError

# The mean length of a year in days, for the part of an age after its whole years.
YEAR_DAYS = 365.25
# Codes of a rule that its description names; the others are counted.
SHOWN_CODES = 3
# Reason, and mask of the subjects, or of the prediction times, that the reason leaves out.
ExclusionMask = tuple[str, np.ndarray]


class Rule(Protocol):
    """A condition on a subject at its prediction time."""

    @property
    def words(self) -> str:
        """The rule in words, as in ``age at least 18``."""

    def holds(self, visits: Visits, time: np.ndarray, subject: Int64[np.ndarray, " row"]) -> Bool[np.ndarray, " row"]:
        """Evaluate the rule at each prediction time; nothing dated after it has an influence.

        Args:
            visits: Observed visits of the subjects.
            time: ``datetime64[s]`` [row], the prediction times; a rule holds at none that is NaT.
            subject: Subject of each prediction time.
        """


@dataclass(frozen=True)
class AgeRule:
    """The age at the prediction time; a birthday belongs to the new age. An unknown birth fulfils no rule.

    Attributes:
        at_least_years: Lowest age in years; None for no lower bound.
        below_years: Age in years that must not be reached; None for no upper bound.
    """

    at_least_years: float | None
    below_years: float | None

    @property
    def words(self) -> str:
        """The rule in words."""
        lower = "" if self.at_least_years is None else f"at least {self.at_least_years:g}"
        upper = "" if self.below_years is None else f"below {self.below_years:g}"
        return f"age {' and '.join(filter(None, (lower, upper)))}"

    def holds(self, visits: Visits, time: np.ndarray, subject: Int64[np.ndarray, " row"]) -> Bool[np.ndarray, " row"]:
        """Compare the prediction time with the birthdays of the bounds."""
        birth = visits.subjects.birth[subject]
        found = ~np.isnat(birth) & ~np.isnat(time)
        if self.at_least_years is not None:
            found &= time >= _birthday(birth, self.at_least_years)
        if self.below_years is not None:
            found &= time < _birthday(birth, self.below_years)
        return found


@dataclass(frozen=True)
class CodesRule:
    """Visits on or before the prediction time that have one of some codes.

    A static code, which has no time, fulfils the rule as well, unless the rule counts visits or limits their age.

    Attributes:
        codes: Codes, or beginnings of codes.
        match: ``exact``, ``prefix`` or ``descendants``.
        within_days: Days before the prediction time in which a visit counts; None for no limit.
        fewest_visits: Fewest visits with one of the codes.
        resolved: For ``descendants`` the codes and all codes below them, sorted; None before they are looked up.
    """

    codes: tuple[str, ...]
    match: str
    within_days: float | None
    fewest_visits: int
    resolved: tuple[str, ...] | None = None

    @property
    def words(self) -> str:
        """The rule in words."""
        how = {"exact": "", "prefix": " (prefix)", "descendants": " (descendants)"}[self.match]
        shown = ", ".join(self.codes[:SHOWN_CODES])
        more = f" and {len(self.codes) - SHOWN_CODES} more" if len(self.codes) > SHOWN_CODES else ""
        number = "" if self.fewest_visits == 1 else f"{self.fewest_visits} visits with "
        within = "" if self.within_days is None else f" within {self.within_days:g} days before"
        return f"{number}code{'s' if len(self.codes) > 1 else ''} {shown}{more}{how}{within}"

    @property
    def needs_codes(self) -> bool:
        """Whether the codes below those of the rule have not been looked up yet."""
        return self.match == "descendants" and self.resolved is None

    def matches(self, codes: np.ndarray) -> Bool[np.ndarray, " code"]:
        """Mark the codes of the rule among some codes.

        Args:
            codes: Distinct codes as texts, [code].
        """
        texts = codes.astype(np.str_)
        if self.match == "prefix":
            found = np.zeros(len(texts), dtype=bool)
            for beginning in self.codes:
                found |= np.char.startswith(texts, beginning)
            return found
        assert not self.needs_codes, "looked up before the rules are evaluated"
        return np.isin(texts, np.array(self.codes if self.resolved is None else self.resolved, dtype=np.str_))

    def holds(self, visits: Visits, time: np.ndarray, subject: Int64[np.ndarray, " row"]) -> Bool[np.ndarray, " row"]:
        """Count the visits up to the prediction time that have one of the codes."""
        visit = np.repeat(np.arange(len(visits.visit_time)), visits.codes_per_visit)
        counted = np.zeros(len(visits.visit_time), dtype=bool)
        counted[visit[self.matches(visits.codes)[visits.code]]] = True
        owner, when = visits.visit_subject[counted], visits.visit_time[counted]
        number = count_earlier(owner, when, subject, time)
        if self.within_days is not None:
            earliest = time - np.timedelta64(round(self.within_days * DAY_SECONDS), "s")
            number -= count_earlier(owner, when, subject, earliest, strictly=True)
        found: np.ndarray = number >= self.fewest_visits
        if self.within_days is None and self.fewest_visits == 1:
            static = visits.subjects.static
            owner = np.repeat(np.arange(len(visits.subjects)), static.per_subject)
            has_static = np.zeros(len(visits.subjects), dtype=bool)
            has_static[owner[self.matches(static.codes)[static.code]]] = True
            found |= has_static[subject]
        return found & ~np.isnat(time)


@dataclass(frozen=True)
class VisitsRule:
    """Number of visits on or before the prediction time.

    Attributes:
        fewest_visits: Fewest visits.
    """

    fewest_visits: int

    @property
    def words(self) -> str:
        """The rule in words."""
        return f"at least {self.fewest_visits} visit{'' if self.fewest_visits == 1 else 's'}"

    def holds(self, visits: Visits, time: np.ndarray, subject: Int64[np.ndarray, " row"]) -> Bool[np.ndarray, " row"]:
        """Count the visits up to the prediction time."""
        number = count_earlier(visits.visit_subject, visits.visit_time, subject, time)
        found: np.ndarray = number >= self.fewest_visits
        return found & ~np.isnat(time)


@dataclass(frozen=True)
class HistoryRule:
    """Days from the first visit to the prediction time.

    Attributes:
        fewest_days: Fewest days.
    """

    fewest_days: float

    @property
    def words(self) -> str:
        """The rule in words."""
        return f"history of at least {self.fewest_days:g} days"

    def holds(self, visits: Visits, time: np.ndarray, subject: Int64[np.ndarray, " row"]) -> Bool[np.ndarray, " row"]:
        """Compare the prediction time with the first visit."""
        # A comparison with NaT is false: a subject without a visit, or without a prediction time, has no history.
        return time - first_visit_time(visits)[subject] >= np.timedelta64(round(self.fewest_days * DAY_SECONDS), "s")


@dataclass(frozen=True)
class DatesRule:
    """Calendar day of the prediction time.

    Attributes:
        first_day: First day, YYYY-MM-DD; None for no first day.
        last_day: Last day, YYYY-MM-DD, itself included; None for no last day.
    """

    first_day: str | None
    last_day: str | None

    @property
    def words(self) -> str:
        """The rule in words."""
        lower = "" if self.first_day is None else f" from {self.first_day}"
        upper = "" if self.last_day is None else f" to {self.last_day}"
        return f"dates{lower}{upper}"

    def holds(self, visits: Visits, time: np.ndarray, subject: Int64[np.ndarray, " row"]) -> Bool[np.ndarray, " row"]:
        """Compare the day of the prediction time with the bounds."""
        day = time.astype("datetime64[D]")
        found = ~np.isnat(time)
        if self.first_day is not None:
            found &= day >= np.datetime64(self.first_day, "D")
        if self.last_day is not None:
            found &= day <= np.datetime64(self.last_day, "D")
        return found


AnyRule = AgeRule | CodesRule | VisitsRule | HistoryRule | DatesRule


@dataclass(frozen=True)
class CohortSettings:
    """Who takes part, beside what the outcome and the clock require.

    Attributes:
        include: Rules that all must hold.
        exclude: Rules of which none may hold.
        sample: Number of subjects of a stable sample; None for all.
        file: File with the subjects, see ``survlstm.data.cohort_file``; None for all.
        timezone: Zone to which the times of the file are converted; None leaves them in UTC.
    """

    include: tuple[AnyRule, ...] = ()
    exclude: tuple[AnyRule, ...] = ()
    sample: int | None = None
    file: str | None = None
    timezone: str | None = None

    def named_rules(self) -> Iterator[tuple[str, AnyRule]]:
        """Yield each rule with its name, as in ``cohort.include 1``, in the order in which rules are applied."""
        for name in ("include", "exclude"):
            for number, rule in enumerate(getattr(self, name), start=1):
                yield f"cohort.{name} {number}", rule

    @property
    def descendants(self) -> dict[str, tuple[str, ...]]:
        """The codes of each rule that was resolved through a hierarchy, by the name of the rule."""
        return {
            name: rule.resolved
            for name, rule in self.named_rules()
            if isinstance(rule, CodesRule) and rule.resolved is not None
        }


def resolve_descendants(cohort: CohortSettings, source: Source) -> CohortSettings:
    """Look up the codes of the rules with ``match: descendants`` in the hierarchy of a source.

    Args:
        cohort: Settings; rules that are resolved already stay as they are.
        source: The source.

    Returns:
        The settings with the codes of each of these rules.

    Raises:
        ConfigError: If the source has no hierarchy.
        SourceError: If the hierarchy can't be read.
    """
    known: dict[str, tuple[str, ...]] = {}
    for name, rule in cohort.named_rules():
        if not isinstance(rule, CodesRule) or not rule.needs_codes:
            continue
        if not isinstance(source, SourceWithHierarchy):
            raise ConfigError(
                f"{name}: match: descendants needs a source that knows which codes are below others; "
                f"{type(source).__name__} does not. List the codes, or set match: prefix where codes begin alike"
            )
        known[name] = tuple(sorted(source.descendants(rule.codes)))
    return with_codes(cohort, known)


def with_codes(cohort: CohortSettings, known: Mapping[str, tuple[str, ...]]) -> CohortSettings:
    """Set the codes of the rules with ``match: descendants``.

    Args:
        cohort: Settings; rules that are resolved already stay as they are.
        known: Codes by the name of a rule, as ``CohortSettings.descendants`` gives them.

    Returns:
        The settings with the codes of each of these rules.

    Raises:
        ConfigError: If ``known`` lacks a rule.
    """

    def resolved(name: str, rule: AnyRule) -> AnyRule:
        if not isinstance(rule, CodesRule) or not rule.needs_codes:
            return rule
        if name not in known:
            raise ConfigError(
                f"the codes below those of {name} must be stored with the model; found none. Train the model again"
            )
        return dataclasses.replace(rule, resolved=known[name])

    found = {name: resolved(name, rule) for name, rule in cohort.named_rules()}
    include, exclude = (
        tuple(rule for name, rule in found.items() if name.startswith(f"cohort.{kind}"))
        for kind in ("include", "exclude")
    )
    return dataclasses.replace(cohort, include=include, exclude=exclude)


def rule_exclusions(
    cohort: CohortSettings,
    visits: Visits,
    time: np.ndarray,
    *,
    subject: Int64[np.ndarray, " row"] | None = None,
    show_dates: bool = True,
) -> tuple[ExclusionMask, ...]:
    """Evaluate the rules at prediction times.

    A visit belongs to the history if its time is not later than the prediction time. ``visits`` may hold later ones;
    they change nothing.

    Args:
        cohort: The rules, resolved.
        visits: Observed visits of the subjects.
        time: ``datetime64[s]`` [row], the prediction times; NaT for a subject without one, which no rule keeps.
        subject: Subject of each prediction time; None for one per subject.
        show_dates: Whether the reason of a rule on dates names them.

    Returns:
        Reason and mask of the rows to leave out, for each rule in its order. Subjects of unknown age have a reason of
        their own before the reason of the rule, if there are any.
    """
    subject = np.arange(len(time)) if subject is None else subject
    exclusions: list[ExclusionMask] = []
    for name, rule in cohort.named_rules():
        holds = rule.holds(visits, time, subject)
        is_unknown = np.isnat(visits.subjects.birth)[subject]
        if name.startswith("cohort.include") and isinstance(rule, AgeRule) and is_unknown.any():
            exclusions.append((f"{name}: age unknown", is_unknown))
        words = rule.words if show_dates or not isinstance(rule, DatesRule) else "dates"
        exclusions.append((f"{name}: {words}", ~holds if name.startswith("cohort.include") else holds))
    return tuple(exclusions)


def absent_code_warnings(cohort: CohortSettings, visits: Visits) -> tuple[str, ...]:
    """Return a sentence for each rule on codes of which none occurs in any visit.

    Args:
        cohort: The rules, resolved.
        visits: Observed visits of all subjects of the source.
    """
    static = visits.subjects.static
    used = np.concatenate([visits.codes[np.unique(visits.code)], static.codes[np.unique(static.code)]])
    return tuple(
        f"{name} ({rule.words}) has none of its codes in the records that may be read, so that it "
        + ("keeps nobody" if name.startswith("cohort.include") else "leaves nobody out")
        + "; check the coding system and the codes"
        for name, rule in cohort.named_rules()
        if isinstance(rule, CodesRule) and not rule.matches(used).any()
    )


def first_visit_time(visits: Visits) -> np.ndarray:
    """Return the time of each subject's first visit, the prediction time of rules on the visit clock.

    Args:
        visits: Visits of the subjects.

    Returns:
        ``datetime64[s]`` [subject], NaT for a subject without visits.
    """
    time = np.full(len(visits.subjects), np.datetime64("NaT"), dtype="datetime64[s]")
    has_visits = visits.visits_per_subject > 0
    time[has_visits] = visits.visit_time[visits.visit_offsets[:-1][has_visits]]
    return time


def _birthday(birth: np.ndarray, years: float) -> np.ndarray:
    """Return the midnight at which an age is reached; 1 March for a birth on 29 February in other years."""
    months = birth.astype("datetime64[M]")
    day = birth.astype("datetime64[D]") - months.astype("datetime64[D]")
    whole = int(years)
    reached = (months + 12 * whole).astype("datetime64[D]") + day
    return reached.astype("datetime64[s]") + np.timedelta64(round((years - whole) * YEAR_DAYS * DAY_SECONDS), "s")
