"""A family's member: what `resolve` may do, and what it cannot do to the other models of a run."""

from __future__ import annotations

from collections.abc import Callable
from email.message import Message
from io import BytesIO
from urllib.error import HTTPError, URLError
from urllib.request import Request

import pytest

from vitbench.catalog import Catalog, Offer, Plugin
from vitbench.errors import UsageError
from vitbench.planning.resolve import ResolvedModel, hub_answers, resolve_model
from vitbench.planning.suite import AskedModel
from vitbench.specs import ModelSpec, RecipeSpec, Target

PLUGIN = Plugin(name="zoo", distribution="d", version="1", module="m")


def resolved(resolve: Target) -> ResolvedModel:
    family = ModelSpec(name="*", build="a:b", summary="x", resolve=resolve)
    recipe = RecipeSpec(name="sgd", fit="a:b", summary="x")
    catalog = Catalog(
        models={"zoo/*": Offer(name="zoo/*", plugin=PLUGIN, spec=family)},
        recipes={"r/sgd": Offer(name="r/sgd", plugin=PLUGIN, spec=recipe)},
    )
    return resolve_model(AskedModel(name="zoo/net", family=True), "r/sgd", catalog)


def raising(error: BaseException) -> Callable[..., object]:
    def function(*_: object, **__: object) -> object:
        raise error

    return function


@pytest.mark.parametrize(
    ("resolve", "words"),
    [
        (raising(ValueError("two\nlines")), "ValueError: two lines"),
        (raising(BaseException("a panic")), "BaseException: a panic"),
        ("no_such_module:resolve", "cannot import no_such_module:resolve: ModuleNotFoundError"),
    ],
)
def test_a_family_that_cannot_be_asked_makes_its_member_unavailable(resolve: Target, words: str) -> None:
    model = resolved(resolve)
    assert model.fault is not None
    assert model.fault.reason.startswith(f"its family could not be queried: {words}")
    assert model.fault.exit_code == 3
    assert model.label == "zoo/net"


def test_a_member_that_the_family_does_not_know_is_the_users_mistake() -> None:
    with pytest.raises(UsageError, match="model zoo/net: there is no net here"):
        resolved(raising(LookupError("there is no net here")))
    with pytest.raises(KeyboardInterrupt):
        resolved(raising(KeyboardInterrupt()))


def test_a_member_is_completed() -> None:
    model = resolved(lambda name: ModelSpec(name=name, build="a:b", summary="x", options={"width": 3}))
    assert (model.spec.name, model.options, model.fault) == ("net", {"width": 3}, None)


@pytest.mark.parametrize(
    ("code", "answers"), [(200, True), (401, True), (404, True), (407, False), (502, False), (503, False), (0, False)]
)
def test_a_proxy_that_cannot_reach_the_hub_is_no_hub(code: int, answers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def urlopen(request: Request, **_: object) -> BytesIO:
        if code == 200:
            return BytesIO()
        raise HTTPError(request.full_url, code, "", Message(), None) if code else URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    said: list[str] = []
    assert hub_answers(said.append) == answers
    assert len(said) == (not answers)
