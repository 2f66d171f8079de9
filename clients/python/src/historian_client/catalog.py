"""Tags: what the catalog says of them, and changes of it."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import Any, get_args

from . import command, option
from .command import Tags
from .connection import Connection

PAGE = 5_000


class Keep:
    """Stands for what is not to be changed."""

    def __repr__(self) -> str:
        return "KEEP"


KEEP = Keep()


@dataclasses.dataclass(frozen=True)
class Tag:
    """What the catalog says of a tag."""

    name: str
    value_type: option.ValueType
    unit: str
    description: str
    stepped: bool
    """True: a value holds until the next sample. False: straight lines between samples."""
    range_low: float | None
    range_high: float | None
    state_set: list[str]
    """Names of the states by number."""
    device: str
    """What it is collected from; empty where clients write it."""
    address: str
    id: int
    create_time: dt.datetime
    update_time: dt.datetime
    filter: dict[str, Any] | None = None
    """What its collector leaves out: exception_deadband, compression_deviation, error_bound, intervals in nanoseconds. None where it stores all."""


@dataclasses.dataclass(frozen=True)
class Renamed:
    """The tag under its new name, and whether a device that is configured for that name writes to it from now on."""

    tag: Tag
    collected: bool


@dataclasses.dataclass(frozen=True)
class Retyped:
    """The new, empty tag of the name, the old one with its samples, and whether the new one is collected."""

    tag: Tag
    kept: Tag
    collected: bool


class Catalog(Connection):
    """Tags one by one. These calls need the packages grpcio and protobuf (`pip install 'historian-client[grpc]'`), else they are `NotSupported`."""

    def tag(self, name: str) -> Tag:
        """What the catalog says of a tag; `TagNotFound` where there is none."""
        return Tag(**self._rpc.call("TagService/GetTag", {"name": name})["tag"])

    def find_tags(self, words: str = "", tags: Tags = "**", *, filter: str | None = None) -> list[Tag]:
        """Tags in the order of their names.

        `words`: each must occur in name, description, unit, device or address, in any case: find_tags("boiler press"). `tags`: names and globs.
        `filter`: conditions such as "unit=bar AND description~steam" (docs/api.md).
        """
        conditions = [f"any~{word}" for word in words.split()] + ([filter] if filter else [])
        request = {"tags": command.as_tags(tags), "filter": " AND ".join(conditions), "page_size": PAGE}
        found: list[Tag] = []
        while True:
            answer = self._rpc.call("TagService/ListTags", request)
            found += [Tag(**tag) for tag in answer["tags"]]
            if not answer["next_page_token"]:
                return found
            request["page_token"] = answer["next_page_token"]

    def create_tag(
        self,
        name: str,
        value_type: option.ValueType = "f64",
        *,
        unit: str = "",
        description: str = "",
        stepped: bool | None = None,
        range_low: float | None = None,
        range_high: float | None = None,
        state_set: Sequence[str] = (),
    ) -> Tag:
        """Makes a tag; `AlreadyExists` where the name is taken. `stepped` is by default False for floats and True for all others."""
        if stepped is None:
            stepped = value_type not in ("f64", "f32")
        facts = {"unit": unit, "description": description, "stepped": stepped, "range_low": range_low, "range_high": range_high}
        tag = {"name": name, "value_type": _value_type(value_type), "state_set": _states(state_set), **_present(facts)}
        return Tag(**self._rpc.call("TagService/CreateTag", {"tag": tag})["tag"])

    def update_tag(
        self,
        name: str,
        *,
        unit: str | Keep = KEEP,
        description: str | Keep = KEEP,
        stepped: bool | Keep = KEEP,
        range_low: float | Keep | None = KEEP,
        range_high: float | Keep | None = KEEP,
        state_set: Sequence[str] | Keep = KEEP,
        reason: str = "",
    ) -> Tag:
        """Changes what is given, and leaves the rest as it is; a range given as None is taken away. The audit log has it, with the reason."""
        given: dict[str, Any] = {"unit": unit, "description": description, "stepped": stepped, "range_low": range_low, "range_high": range_high}
        changed = {field: value for field, value in given.items() if not isinstance(value, Keep)}
        if not isinstance(state_set, Keep):
            changed["state_set"] = _states(state_set)
        if not changed:
            raise ValueError(f"nothing to change is given; there are {', '.join([*given, 'state_set'])}")
        request = {"tag": {"name": name, **_present(changed)}, "update_mask": {"paths": list(changed)}, "reason": reason}
        return Tag(**self._rpc.call("TagService/UpdateTag", request)["tag"])

    def rename_tag(self, name: str, new_name: str, *, reason: str = "") -> Renamed:
        """Gives another name to a tag, which keeps its id, samples and annotations. One that the configuration has is renamed there."""
        answer = self._rpc.call("TagService/RenameTag", {"name": name, "new_name": new_name, "reason": reason})
        return Renamed(Tag(**answer["tag"]), answer["collected"])

    def retype_tag(self, name: str, value_type: option.ValueType, *, suffix: str = "", reason: str = "") -> Retyped:
        """Gives the name to a new, empty tag of another type. The old one keeps its samples, under the name with a suffix (`_` and its type)."""
        request = {"name": name, "value_type": _value_type(value_type), "suffix": suffix, "reason": reason}
        answer = self._rpc.call("TagService/RetypeTag", request)
        return Retyped(Tag(**answer["tag"]), Tag(**answer["kept"]), answer["collected"])

    def delete_tag(self, name: str, *, reason: str = "") -> None:
        """Removes a tag and its samples from sight, for ever. The audit log keeps its name, how many samples there were, from when to when, and why."""
        self._rpc.call("TagService/DeleteTag", {"name": name, "reason": reason})


def _value_type(value_type: str) -> str:
    allowed = get_args(option.ValueType)
    if value_type not in allowed:
        raise ValueError(f"value_type: {value_type!r} is not known; allowed are {', '.join(allowed)}")
    return f"VALUE_TYPE_{value_type.upper()}"


def _states(states: Sequence[str]) -> list[str]:
    if isinstance(states, str):
        raise TypeError("state_set: give a list with the names of the states by number")
    return list(states)


def _present(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}

