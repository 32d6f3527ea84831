"""Errors tell programs what happened, by class and by code, and survive the way through a pipe."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import re
from typing import Any

import pytest

from gitctx import errors
from gitctx.errors import GitctxError, MergeConflict, OutcomeUnknown

CLASSES: list[type[GitctxError]] = [
    found for _, found in inspect.getmembers(errors, inspect.isclass) if issubclass(found, GitctxError)
]
EXIT_CODES = {
    "InvalidInput": 5,
    "NotFound": 3,
    "Conflict": 4,
    "WriteRejected": 4,
    "RetriesExhausted": 6,
    "LockTimeout": 6,
    "WaitTimeout": 6,
    "OutcomeUnknown": 6,
    "SessionError": 4,
    "RemoteError": 8,
    "StorageError": 9,
    "CorruptStore": 7,
    "MissingExtra": 1,
    "GitctxError": 1,
}
BUILT_IN = {
    "InvalidInput": ValueError,
    "NotFound": LookupError,
    "RetriesExhausted": RuntimeError,
    "LockTimeout": TimeoutError,
    "WaitTimeout": TimeoutError,
    "StorageError": OSError,
    "MissingExtra": ImportError,
}


def made(cls: type[GitctxError]) -> GitctxError:
    if cls is MergeConflict:
        return MergeConflict("it changed", key="a", base=None, ours="1" * 40, theirs="2" * 40, hint="read it again")
    if cls is OutcomeUnknown:
        return OutcomeUnknown("who knows", id="the-write")
    return cls("something happened", hint="do something", details={"key": "plan/ü", "size": 7})


def test_every_class_has_a_code_of_its_own() -> None:
    codes = [cls.__dict__["code"] for cls in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)
    assert len(CLASSES) >= 40


def test_the_code_is_the_name_of_the_class() -> None:
    """So that who reads one finds the other. The root is the exception."""
    for cls in CLASSES:
        if cls is not GitctxError:
            assert cls.code == re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


@pytest.mark.parametrize("cls", CLASSES)
def test_the_exit_code_is_that_of_its_kind(cls: type[GitctxError]) -> None:
    nearest = next(parent.__name__ for parent in cls.__mro__ if parent.__name__ in EXIT_CODES)
    assert cls.exit_code == EXIT_CODES[nearest]


def test_kinds_are_also_the_built_in_errors_that_programs_catch() -> None:
    for cls in CLASSES:
        for parent in cls.__mro__:
            assert issubclass(cls, BUILT_IN.get(parent.__name__, Exception))


def test_only_an_unknown_outcome_leaves_open_whether_anything_changed() -> None:
    assert [cls for cls in CLASSES if cls.changed != "no"] == [OutcomeUnknown]


def test_what_may_be_repeated_as_it_is_says_so() -> None:
    assert {cls.__name__ for cls in CLASSES if cls.retryable} == {
        *("WriteRejected", "RetriesExhausted", "LockTimeout", "WaitTimeout", "Withdrawn", "ClaimHeld"),
        "OutcomeUnknown",
        *("RemoteError", "RemoteUnreachable", "RemoteRejected", "StorageError", "DiskFull", "GitFailed"),
    }


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("way", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_every_error_survives_the_way_to_another_process(cls: type[GitctxError], way: Any) -> None:
    error = made(cls)
    again = way(error)
    assert type(again) is cls
    assert again.to_json() == error.to_json()
    assert str(again) == str(error) == error.message
    assert again.args == error.args


def test_a_changed_outcome_survives_the_way_to_another_process() -> None:
    """`changed` may be set on one error; that must not fall back to what its class says."""
    error = made(errors.StorageError)
    error.changed = "unknown"
    assert pickle.loads(pickle.dumps(error)).changed == "unknown"


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_is_the_documented_json(cls: type[GitctxError]) -> None:
    told = json.loads(json.dumps(made(cls).to_json()))
    assert list(told) == ["code", "message", "hint", "changed", "retryable", "details"]
    assert told["code"] == cls.code
    assert told["message"]
    assert told["hint"]
    assert told["changed"] in ("no", "yes", "unknown")
    assert isinstance(told["retryable"], bool)
    assert told["details"]


def test_typed_facts_are_attributes_and_details_alike() -> None:
    error = made(MergeConflict)
    assert isinstance(error, MergeConflict)
    facts = {"key": error.key, "base": error.base, "ours": error.ours, "theirs": error.theirs}
    assert facts == error.details == {"key": "a", "base": None, "ours": "1" * 40, "theirs": "2" * 40}
    unknown = made(OutcomeUnknown)
    assert isinstance(unknown, OutcomeUnknown)
    assert unknown.id == "the-write"
    assert "--id the-write" in unknown.hint


def test_errors_do_not_share_their_details() -> None:
    first, second = errors.NotFound("a"), errors.NotFound("b")
    first.details["key"] = "a"
    assert second.details == {}


def test_the_picture_at_the_top_of_the_module_names_every_class() -> None:
    drawn = set(re.findall(r"\b[A-Z][A-Za-z]+\b", (errors.__doc__ or "").split("`code`")[0]))
    assert {cls.__name__ for cls in CLASSES} <= drawn
