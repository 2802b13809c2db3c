"""From answers to choices: the rules of ``book/chooser.toml``, and what follows from them."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from gatewaylab.load.samples import Frozen


class Answer(Frozen):
    """One of the answers to a question; ``brief`` is what a flow chart has room for."""

    name: str
    says: str
    brief: str = ""


class Question(Frozen):
    """A question, in full and as the head of a condition."""

    name: str
    short: str
    asks: str
    answer: tuple[Answer, ...]


class Choice(Frozen):
    """What can be recommended; the recommendation itself stands on the page.

    Attributes:
        brief: what a flow chart has room for; without it, the title.
        runs: the interfaces that a path's commands serve; none for what is no path.
    """

    name: str
    title: str
    brief: str = ""
    runs: tuple[Literal["wsgi", "asgi"], ...] = ()


class Rule(Frozen):
    """Which choice is taken if each named question has one of these answers.

    Attributes:
        when: a question's or an earlier decision's name → the answers or choices that fit.
        take: a choice; empty, if none is needed.
    """

    when: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    take: str


class Decision(Frozen):
    """A list of rules, of which the first that fits counts."""

    name: str
    short: str
    choice: tuple[Choice, ...]
    rule: tuple[Rule, ...]


class Rules(Frozen):
    """The whole file."""

    question: tuple[Question, ...]
    decision: tuple[Decision, ...]

    def combinations(self) -> Iterator[dict[str, str]]:
        """Every set of answers; those of the last question change fastest."""
        names = [question.name for question in self.question]
        for found in itertools.product(*(q.answer for q in self.question)):
            yield dict(zip(names, (answer.name for answer in found), strict=True))

    def decide(self, answers: Mapping[str, str]) -> dict[str, str]:
        """Decision → choice; the choice is empty where none is needed.

        Args:
            answers: question → answer, for every question.

        Raises:
            ValueError: no rule of a decision fits.
        """
        known = dict(answers)
        for decision in self.decision:
            fits = (
                rule.take
                for rule in decision.rule
                if all(known[name] in wanted for name, wanted in rule.when.items())
            )
            taken = next(fits, None)
            if taken is None:
                raise ValueError(f"no rule of {decision.name!r} fits {dict(answers)}")
            known[decision.name] = taken
        return {decision.name: known[decision.name] for decision in self.decision}

    @cached_property
    def choices(self) -> dict[str, Choice]:
        """All choices by name."""
        return {choice.name: choice for one in self.decision for choice in one.choice}

    def _check(self) -> None:
        """Raise ValueError for a rule that names what does not exist."""
        known = {question.name: {a.name for a in question.answer} for question in self.question}
        for decision in self.decision:
            names = {choice.name for choice in decision.choice}
            for rule in decision.rule:
                for name, wanted in rule.when.items():
                    if not set(wanted) <= known.get(name, set()):
                        raise ValueError(f"{decision.name}: nothing answers {name} = {wanted}")
                if rule.take not in {*names, ""}:
                    raise ValueError(f"{decision.name}: there is no choice {rule.take!r}")
            if not decision.rule or decision.rule[-1].when:
                raise ValueError(f"{decision.name}: its last rule has to fit always")
            known[decision.name] = {*names, ""}


def read_rules(path: Path) -> Rules:
    """The rules of a file.

    Raises:
        ValueError: the file is missing or malformed, or a rule names what does not exist.
    """
    try:
        rules = Rules.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        rules._check()
    except (OSError, tomllib.TOMLDecodeError, ValidationError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    return rules
