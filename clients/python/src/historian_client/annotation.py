"""Texts of people on tags, over a time or a range of time."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

from .command import Tags, as_tags
from .connection import Connection
from .time import Time, as_time

PAGE = 5_000


@dataclasses.dataclass(frozen=True)
class Annotation:
    """One version of an annotation."""

    id: int
    version: int
    tags: list[str]
    """Those that one may read, in the order of their names."""
    start_time: dt.datetime
    end_time: dt.datetime
    """Not within; the start where a moment is meant."""
    text: str
    author: str
    time: dt.datetime
    """When this version was written."""
    removed: bool
    """This version removes the annotation."""


class Annotations(Connection):
    """These calls need the packages grpcio and protobuf (`pip install 'historian-client[grpc]'`), else they are `NotSupported`."""

    def annotations(
        self, tags: Tags = "**", start: Time | None = None, end: Time | None = None, *, zone: str | None = None, versions: bool = False
    ) -> list[Annotation]:
        """Annotations that share time with the range, in the order of their starts; without bounds all. `versions`: all versions of each, with those
        that were removed."""
        request = {"tags": as_tags(tags), "zone": zone or "", "versions": versions, "page_size": PAGE, **_bounds(start, end)}
        found: list[Annotation] = []
        while True:
            answer = self._rpc.call("AnnotationService/ListAnnotations", request)
            found += [Annotation(**annotation) for annotation in answer["annotations"]]
            if not answer["next_page_token"]:
                return found
            request["page_token"] = answer["next_page_token"]

    def annotate(self, tags: Tags, text: str, start: Time, end: Time | None = None, *, zone: str | None = None) -> Annotation:
        """Puts a text on tags, over a range of time; without an end at a moment. Needs the right to write all of them."""
        request = {"tags": as_tags(tags), "text": text, "zone": zone or "", **_bounds(start, end)}
        return Annotation(**self._rpc.call("AnnotationService/CreateAnnotation", request)["annotation"])

    def update_annotation(self, seen: Annotation, text: str) -> Annotation:
        """Another text for an annotation, as its next version. `Conflict` where somebody has changed it since it was read."""
        bounds = _bounds(seen.start_time, seen.end_time if seen.end_time > seen.start_time else None)
        request = {"id": seen.id, "version": seen.version, "tags": seen.tags, "text": text, **bounds}
        return Annotation(**self._rpc.call("AnnotationService/UpdateAnnotation", request)["annotation"])

    def delete_annotation(self, seen: Annotation) -> None:
        """Removes an annotation; its versions are kept. `Conflict` where somebody has changed it since it was read."""
        self._rpc.call("AnnotationService/DeleteAnnotation", {"id": seen.id, "version": seen.version})


def _bounds(start: Time | None, end: Time | None) -> dict[str, Any]:
    return {name: as_time(time, name) for name, time in (("start", start), ("end", end)) if time is not None}
