"""What the auditor may ask of the trail: the form over the list, and the address it makes."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django import forms
from django.apps import apps
from django.contrib import admin

from hospital.audit import canonical
from hospital.audit.actions import BY_TAG
from hospital.audit.admin import people, words
from hospital.audit.searching import Criteria

SPANS: Final = (("7", "最近 7 天"), ("30", "最近 30 天"), ("366", "最近一年"), ("all", "全部时间"))
_MINUTE: Final = timedelta(minutes=1)
_AHEAD: Final = timedelta(days=1)  # of our clock
_FORMAT: Final = "%Y-%m-%dT%H:%M"
_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_LONGEST: Final = 128
_WHATEVER: Final = ("", "不限")


class Query(forms.Form):
    """Every field may be left empty."""

    span = forms.ChoiceField(label="时间范围", choices=SPANS, required=False)
    since = forms.DateTimeField(
        label="从",
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=_FORMAT),
    )
    until = forms.DateTimeField(
        label="至（含这一分钟）",
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=_FORMAT),
    )
    action = forms.ChoiceField(label="行为", required=False)
    outcome = forms.ChoiceField(
        label="结果", required=False, choices=[_WHATEVER, *words.OUTCOMES.items()]
    )
    actor = forms.CharField(label="行为人（工号或编号）", required=False, max_length=_LONGEST)
    object_type = forms.ChoiceField(label="对象类型", required=False)
    object_id = forms.CharField(label="对象编号", required=False, max_length=_LONGEST)
    request = forms.CharField(label="请求编号", required=False, max_length=_LONGEST)
    index = forms.IntegerField(label="封存序号", required=False, min_value=0, max_value=2**62)

    def __init__(self, data: Any) -> None:
        super().__init__(data, label_suffix="")
        choice: Any = self.fields["action"]
        choice.choices = [_WHATEVER, *_actions()]
        choice = self.fields["object_type"]
        choice.choices = [_WHATEVER, *_things(data.get("object_type", ""))]

    def clean_since(self) -> datetime | None:
        return _believable(self.cleaned_data["since"])

    def clean_until(self) -> datetime | None:
        return _believable(self.cleaned_data["until"])

    def clean_actor(self) -> str:
        typed = self.cleaned_data["actor"]
        found = people.find(typed) if typed else ""
        if typed and not found:
            raise forms.ValidationError("没有这个工号；终端请填它的编号")
        return found

    def span_in_force(self) -> str:
        """Return the span that bounds the question: without an exact value the last week."""
        asked = self.cleaned_data
        if asked["since"] or asked["until"]:
            return ""
        # The id of a thing has an index together with what kind of thing it is.
        thing = asked["object_type"] and asked["object_id"]
        exact = asked["request"] or thing or asked["index"] is not None
        return asked["span"] or ("all" if exact else "7")

    def criteria(self, now: datetime) -> Criteria:
        asked = self.cleaned_data
        span = self.span_in_force()
        since = asked["since"]
        until = asked["until"] + _MINUTE if asked["until"] else None
        if span.isdigit():
            # Forged times lie far ahead, and would hide what happened.
            since, until = now - timedelta(days=int(span)), now + _AHEAD
        return Criteria(
            since=since,
            until=until,
            action=asked["action"],
            outcome=asked["outcome"],
            actor=asked["actor"],
            object_type=asked["object_type"],
            object_id=asked["object_id"],
            request=asked["request"],
            index=asked["index"],
        )


def _believable(at: datetime | None) -> datetime | None:
    if at and not _EARLIEST <= at <= _LATEST:
        raise forms.ValidationError("年份不对")
    return at


def _actions() -> list[tuple[str, list[tuple[str, str]]]]:
    groups: dict[str, list[tuple[str, str]]] = {}
    for tag, action in BY_TAG.items():
        first = tag.partition(".")[0]
        groups.setdefault(words.GROUPS.get(first, first), []).append((tag, action.value.label))
    return list(groups.items())


def _things(asked: str) -> list[tuple[str, str]]:
    """Return the kinds of things that have a page, and the one that is asked for."""
    models = filter(admin.site.is_registered, apps.get_models())
    labels = {model._meta.label_lower for model in models}
    if canonical.SLUG.fullmatch(asked):
        labels.add(asked)
    labels.discard("")
    return sorted(((one, words.kind_of_thing(one)) for one in labels), key=lambda pair: pair[1])
