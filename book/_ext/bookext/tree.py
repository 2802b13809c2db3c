"""A decision's rules as a tree of questions, each asked where its answer matters: the shortest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bookext.answers import Decision, Rules

#: One set of answers and earlier choices by name, and the choice that the rules take for it.
_Row = tuple[dict[str, str], str]


@dataclass(frozen=True)
class Fork:
    """A question, and where each group of its answers leads.

    Attributes:
        asks: a question's or an earlier decision's name.
        ways: names of answers or choices, and the fork or the choice behind them; an empty choice
            means that none is needed.
    """

    asks: str
    ways: tuple[tuple[tuple[str, ...], Tree], ...]


Tree = Fork | str


def grow(rules: Rules, decision: Decision) -> Tree:
    """The tree with the fewest ends; of several, the one that asks least on average.

    Each path asks a question at most once. Answers that lead to the same are one way.
    """
    asked = {name for rule in decision.rule for name in rule.when}
    names = [one.name for one in rules.question if one.name in asked]
    names += [one.name for one in rules.decision if one.name in asked]
    rows = []
    for answers in rules.combinations():
        decided = rules.decide(answers)
        rows.append(({**decided, **answers}, decided[decision.name]))
    return _grow(rows, names)[1]


def ends(tree: Tree) -> Iterator[str]:
    """The choices at the tree's ends, from the first to the last; some stand there twice."""
    if isinstance(tree, str):
        yield tree
    else:
        for _, behind in tree.ways:
            yield from ends(behind)


def walk(tree: Tree, known: dict[str, str]) -> str:
    """The choice at the end of the way that these answers, and earlier choices, take."""
    while isinstance(tree, Fork):
        here = known[tree.asks]
        (tree,) = (behind for answers, behind in tree.ways if here in answers)
    return tree


def _grow(rows: Sequence[_Row], names: Sequence[str]) -> tuple[tuple[int, int], Tree]:
    """The best tree for some rows, and its price: its ends, and the questions asked in all."""
    outcomes = {outcome for _, outcome in rows}
    if len(outcomes) == 1:
        return (1, 0), outcomes.pop()
    best: tuple[tuple[int, int], Tree] | None = None
    for name in names:
        parts: dict[str, list[_Row]] = {}
        for row in rows:
            parts.setdefault(row[0][name], []).append(row)
        if len(parts) == 1:
            continue
        left = [other for other in names if other != name]
        grown = {answer: _grow(part, left) for answer, part in parts.items()}
        ways: dict[Tree, list[str]] = {}
        for answer, (_, behind) in grown.items():
            ways.setdefault(behind, []).append(answer)
        price = (
            sum(sum(1 for _ in ends(behind)) for behind in ways),
            len(rows) + sum(asked for (_, asked), _ in grown.values()),
        )
        if best is None or price < best[0]:
            best = price, Fork(name, tuple((tuple(on), behind) for behind, on in ways.items()))
    assert best is not None  # rows with different outcomes differ in a name
    return best
