"""The form by which a copy of the trail is asked for."""

from datetime import timedelta
from typing import Any, Final

from django import forms

from hospital.audit.admin.query import Query
from hospital.audit.exporting.selecting import Filters, Range, Selection
from hospital.audit.exports import Export
from hospital.errors import Refusal

TIME, PLACES, FILTERED = "time", "places", "filtered"
_VALUES: Final = ("action", "actor", "object_type", "object_id", "outcome", "request")
_READ: Final = {  # what of the form each kind is made of
    TIME: {"since", "until"},
    PLACES: {"first", "last"},
    FILTERED: {"since", "until", *_VALUES},
}
_ALL: Final = ("since", "until", "first", "last", *_VALUES)
_MINUTE: Final = timedelta(minutes=1)


class Asking(Query):
    """What of the trail, for what, and why."""

    # Of the list this form is otherwise made like.
    span = None  # type: ignore[assignment]
    index = None  # type: ignore[assignment]

    kind = forms.ChoiceField(
        label="范围",
        choices=[
            (TIME, "一段时间：能证明完整，一条不少"),
            (PLACES, "一段序号：能证明完整，一条不少"),
            (FILTERED, "按条件筛选：只证明真实，不证明没有遗漏"),
        ],
        initial=TIME,
        widget=forms.RadioSelect,
    )
    first = forms.IntegerField(label="起始序号", required=False, min_value=0, max_value=2**62)
    last = forms.IntegerField(label="终止序号（含）", required=False, min_value=0, max_value=2**62)
    purpose = forms.ChoiceField(label="用途", choices=Export.Purpose.choices)
    reason = forms.CharField(
        label="理由",
        max_length=200,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="必填，200 字以内；写进留痕，不要写患者信息",
    )

    def __init__(self, data: Any = None) -> None:
        super().__init__(data or {})
        self.is_bound = data is not None
        self.selection: Selection | None = None

    def clean(self) -> dict[str, Any]:
        asked = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                self.selection = self._selected(asked)
            except Refusal as exc:
                raise forms.ValidationError(str(exc)) from None
        return asked

    def _selected(self, asked: dict[str, Any]) -> Selection:
        ignored = [
            f"“{self.fields[name].label}”"
            for name in _ALL
            if asked[name] not in {"", None} and name not in _READ[asked["kind"]]
        ]
        if ignored:
            raise forms.ValidationError(f"这种范围不看{'、'.join(ignored)}：请清空，或改选范围")
        end = asked["until"] + _MINUTE if asked["until"] else None
        if asked["kind"] == PLACES:
            if asked["first"] is None or asked["last"] is None:
                raise forms.ValidationError("请填起始序号和终止序号")
            return Range(asked["first"], asked["last"] + 1)
        if asked["kind"] == TIME:
            return Range.between(asked["since"], end)
        return Filters(begin=asked["since"], end=end, **{name: asked[name] for name in _VALUES})
