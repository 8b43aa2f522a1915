"""Requirements: what they say of a trial, and what is wrong with those that cannot be read."""

import contextlib
import itertools
import random
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudtune.space.parameters import Categorical, Constant, Float, Int, Ordinal
from cloudtune.space.requirements import Requirement, RequirementError, quoted
from cloudtune.space.requirements.ranges import Range, Ranges
from cloudtune.space.space import Space, SpaceError

SPACE: dict[str, Any] = {
    "batch": Ordinal(values=(16, 32, 64)),
    "width": Int(low=1, high=512),
    "lr": Float(low=0.1, high=1, step=0.1),
    "model.depth": Int(low=1, high=9),
    "learning-rate": Float(low=0, high=1),
    "kind": Categorical(values=("sgd", "adam", "x y's")),
    "size": Ordinal(values=("small", "medium", "large")),
    "on": Categorical(values=(True, False)),
    "any": Categorical(values=(1, "one", None, True)),
    "momentum": Float(low=0, high=1, when={"kind": "sgd"}),
    "in": Constant(value=3),
}
TRIAL: dict[str, Any] = {
    "batch": 32, "width": 128, "lr": 0.3, "model.depth": 4, "learning-rate": 0.5,
    "kind": "adam", "size": "medium", "on": True, "any": None, "in": 3,
}  # fmt: skip


def of(text: str) -> Requirement:
    (found,) = Space(SPACE, [text]).requirements
    return found


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("batch * width <= 4096", True),
        ("batch * width < 4096", False),
        ("1 < batch <= 32 < width", True),
        ("width - 100 - 20 == 8 and width / 2 / 2 == 32", True),
        ("2 ** 3 ** 2 == width * 4 and -2 ** 2 == -4 * (width / width)", True),
        ("width // 3 == 42 and width % 3 == 2 and -width // 3 == -43 and -width % 3 == 1", True),
        ("lr + 0.1 + 0.2 == 0.6 and lr * 3 - 0.9 <= 0", True),
        ("lr / 3 * 3 == lr and sqrt(lr) ** 2 <= lr", True),
        ("not lr > 1 or batch > 1000", True),
        ("not (lr > 1 or batch > 1)", False),
        ("not not on", True),
        ("on and batch in [16, 32]", True),
        ("batch not in [16, 32]", False),
        ("kind != 'sgd' and kind in [\"adam\", 'x y\\'s']", True),
        ("size >= 'medium' and 'small' < size < 'large'", True),
        ("size > 'medium'", False),
        ("`learning-rate` < 1 and `in` == 3 and model.depth == 4 and `model.depth` < 5", True),
        ("min(batch, width, 5) == 5 and max(batch, 1e3) == 1000 and abs(1 - batch) == 31", True),
        ("log2(batch) % 1 == 0 and log10(width * 1000 / 128) == 3 and floor(lr) == 0 and ceil(lr) == 1", True),
        ("exp(log(batch)) == 32 and 1_000.5e-1 < width", True),
        ("any == null and not any == 1", True),
        ("any < 3", False),
        ("not any < 3", False),
        ("width / (batch - 32) > 0", False),
        ("not width / (batch - 32) > 0", False),
        ("batch == 32 or width / (batch - 32) > 0", True),
        ("sqrt(batch - 33) >= 0 or true", False),
        ("log(batch - 32) < 5", False),
        ("(batch - 32) ** -1 > 0", False),
        ("(batch - 40) ** 0.5 > 0", False),
        ("(batch - 32) ** 0 == 1", True),
        ("width ** width < 1", False),
        ("exp(width * width) > 1", False),
        ("momentum > 2", True),
        ("kind == 'sgd' and momentum > 2", False),
        ("kind == 'adam' or momentum > 2", True),
        ("width < 100 and momentum > 2", False),
        ("kind == \"sgd\"", False),
    ],
)  # fmt: skip
def test_a_requirement_says_of_a_trial_whether_it_is_allowed(text: str, holds: bool) -> None:
    assert of(text).holds(TRIAL) is holds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "says nothing"),
        ("batch * widht <= 4096", "at character 9: the space has no parameter 'widht'; did you mean 'width'?"),
        ("kind == adam", "write the value in quotes: 'adam'"),
        ("learning-rate < 1", "in backquotes: `learning-rate`"),
        ("kind == 'adm'", "'kind' never takes the value 'adm'; did you mean 'adam'?"),
        ("kind in ['adam', 3]", "never takes the value 3"),
        ("batch == 33", "never takes the value 33"),
        ("kind > 3", "at character 1: 'kind' is a text"),
        ("size > 'tiny'", "no place in the order 'small', 'medium', 'large'"),
        ("width == 'a'", "'width' is a number, and never 'a'"),
        ("kind == width", "are never equal"),
        ("width + kind > 3", "'kind' is a text; + needs numbers"),
        ("width", "is a number, not a condition"),
        ("(width < 3) + 1 > 2", "a condition stands where a value is needed"),
        ("width = 3", "write == to compare"),
        ("width > 3 & batch > 3", "write and"),
        ("width 3", "at character 7: expected the end"),
        ("width <", "it ends where a value is expected"),
        ("(width < 3", "expected ')' for the bracket at character 1"),
        ("width in []", "the list is empty"),
        ("width in [batch]", "a list has numbers"),
        ("width in 3", "expected '[' after in"),
        ("1 < width in [2]", "put it into brackets"),
        ("3 < 4", "names no parameter"),
        ("foo(width) > 1", "there is no function 'foo'; there are abs"),
        ("max(width) > 1", "max takes 2 to 50 arguments, not 1"),
        ("width > and", "a parameter of this name stands in backquotes"),
        ("width > 1e999", "numbers must be below 1e300"),
        ("width > 1 / 0", "/ has no value here"),
        ("`width > 1", "ends with a backquote"),
        ("kind == 'adam", "ends with the quote"),
        ("width.real > 1", "no parameter 'width.real'"),
        ("__import__('os') == width", "there is no function '__import__'"),
        ("width.__class__.mro() == width", "there is no function 'width.__class__.mro'"),
        ("width > 1 if on else 2", "expected the end"),
        ("[width] == 1", "expected a value before '['"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_requirement_is_said_with_its_place_and_what_to_do(text: str, message: str) -> None:
    with pytest.raises(SpaceError) as error:
        of(text)
    assert message in str(error.value)
    assert error.value.within == "require"


@pytest.mark.parametrize(
    "text",
    [
        "9**9**9 > width",
        "width < 9**9**9**9**9**9**9**9",
        "(" * 30_000 + "width",
        "(" * 900 + "width" + ")" * 900,
        "not " * 400 + "on",
        "-" * 1_500 + "width > 1",
        "2**" * 400 + "2 > width",
        "1+" * 900 + "width > 1",
        "max(" * 300 + "width",
        "9" * 1_900 + " > width",
        "width in [" + "1," * 900 + "1]",
        "exp(exp(exp(exp(exp(1))))) > width",
        "'" + "\\" * 1_990,
        " " * 1_999,
        "_" * 1_900 + " > 1",
        "1e" + "9" * 30 + " > width",
    ],
    ids=lambda text: text[:12],
)
def test_what_attacks_the_parser_is_refused_or_read_in_bounded_time(text: str) -> None:
    before = time.process_time()
    said = ""
    try:
        of(text).holds(TRIAL)
    except SpaceError as error:
        said = str(error)
    assert len(said) < 500
    assert time.process_time() - before < 0.5


def test_powers_of_parameters_cost_no_more_than_a_number_has_digits() -> None:
    towers = of("width ** width ** width > 1 or (1 + 1 / width) ** 1e299 > 1 or width ** 1e-299 > 0")
    before = time.process_time()
    assert towers.holds({**TRIAL, "width": 512}) is False  # an overflow has no value
    assert time.process_time() - before < 0.1


def test_a_space_has_a_bounded_number_of_requirements() -> None:
    Space(SPACE, ["width > 0"] * 100)
    with pytest.raises(SpaceError, match="100 requirements at most"):
        Space(SPACE, ["width > 0"] * 101)


@settings(max_examples=30)
@given(st.text(min_size=1, max_size=8))
def test_any_name_can_be_quoted(name: str) -> None:
    (found,) = Space({name: Int(low=1, high=3)}, [f"{quoted(name)} <= 2"]).requirements
    assert found.names == {name}
    assert found.holds({name: 2})
    assert not found.holds({name: 3})


@given(st.text(alphabet="ab1.()[]<>=!+-*/%,'`\" notrdi", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(RequirementError):
        found = Requirement.of(text, {"a": (Int(low=1, high=3),), "b": (Categorical(values=("x", True)),)})
        assert found.holds({"a": 1, "b": "x"}) in (True, False)


FORMS = (
    "{} + {} <= {}", "{} * {} < {} ** 2", "{} / {} > {}", "{} // {} == {}", "{} % {} != {}", "abs({} - {}) < {}",
    "min({}, {}) >= {}", "max({}, -{}) > {}", "{} ** {} < {}", "log({}) < sqrt({}) or {} > 2", "not ({} < {} and {} > 1)",
    "floor({} / 2) + ceil({}) in [1, 2, {}]", "exp({}) - log2({}) > {} and c == 1", "{} < {} < {} or k == 'p'",
    "k in ['p', 'q'] and {} + {} < {}", "o > 's' or {} - {} > {}", "h + {} > {} * {}", "z / {} <= {} or {} == 0",
)  # fmt: skip
RANDOM_SPACE: dict[str, Any] = {
    "a": Int(low=-3, high=4),
    "b": Float(low=0.1, high=8, scale="log"),
    "c": Ordinal(values=(0.5, 1, 2)),
    "k": Categorical(values=("p", "q", "r")),
    "o": Ordinal(values=("s", "m", "l")),
    "h": Int(low=1, high=50, scale="log", when={"k": ("p", "q")}),
    "z": (Int(low=0, high=3, when={"k": "p"}), Float(low=-1, high=1, step=0.25, when={"k": "r"})),
}


def random_requirements(seed: int, count: int = 2) -> list[str]:
    """Return requirements of `RANDOM_SPACE`."""
    chance = random.Random(seed)
    terms = ["a", "b", "c", "1", "2.5", "-0.5", "a", "b", "(a + b)"]
    return [
        form.format(*(chance.choice(terms) for _ in range(form.count("{}")))).replace("[1, 2, ", "[1, 2, 3] or a in [")
        for form in (chance.choice(FORMS) for _ in range(count))
    ]


@pytest.mark.parametrize("seed", range(40))
def test_the_ranges_of_a_box_contain_what_each_of_its_trials_gives(seed: int) -> None:
    """A box is judged by intervals: what they rule out no trial of the box may show."""
    from cloudtune.space.boxes import Boxes

    texts = [text for text in random_requirements(seed) if _suits(text)]
    space = Space(RANDOM_SPACE, texts)
    boxes, chance = Boxes(space), random.Random(seed)
    pending = [boxes.whole]
    for _ in range(60):
        box = pending.pop(chance.randrange(len(pending)))
        undecided = boxes.undecided(box)
        for _ in range(12):
            ends = [boxes.ends(dimension, side) for dimension, side in enumerate(box)]
            values = space.at([low + chance.random() * (high - low) for low, high in ends])
            if not undecided:
                assert space.allows(values) == (undecided is not None), (texts, values)
        cut = next(
            (each for each in chance.sample(range(len(box)), len(box)) if boxes.divisible(each, box[each])), None
        )
        pending += boxes.halves(box, cut) if cut is not None else [box]


def _suits(text: str) -> bool:
    try:
        Space(RANDOM_SPACE, [text])
    except SpaceError:
        return False
    return True


def test_operations_on_ranges_contain_those_on_their_numbers() -> None:
    ends = [-3.0, -1.0, -0.5, 0.0, 0.5, 2.0, 7.0]
    texts = (
        "x + y",
        "x - y",
        "x * y",
        "x / y",
        "x // y",
        "x % y",
        "x ** y",
        "x ** 2",
        "x ** -1",
        "min(x, y)",
        "sqrt(x)",
        "log(y)",
    )
    pairs = [(low, high) for low, high in itertools.product(ends, ends) if low <= high]
    space = {"x": Float(low=-9, high=9), "y": Float(low=-9, high=9)}
    for text in texts:
        (node,) = [each.node for each in Space(space, [f"{text} < 1000"]).requirements]
        for (a, b), (c, d) in itertools.product(pairs, pairs[::3]):
            sides = {"x": Range(a, b), "y": Range(c, d)}
            may_hold, may_fail = Ranges(sides.__getitem__).outcomes(node)
            for x, y in itertools.product((a, (a + b) / 2, b), (c, (c + d) / 2, d)):
                holds = Requirement(text, node, frozenset()).holds({"x": x, "y": y})
                assert may_hold if holds else may_fail, (text, sides, x, y)
