from typing import Any, Final

from django import forms

from faceauth.models import Notice
from hospital.desk.forms import PersonForm
from hospital.patients import guardians
from hospital.patients.models import Guardian, Identification

_EVIDENCE: Final = [
    (one.value, one.label) for one in Identification.Evidence if one in guardians.EVIDENCE
]


class GuardianForm(PersonForm):
    """监护人同意: who they are, whose guardian, and what they agree to, nothing ticked."""

    relation = forms.ChoiceField(
        label="与患者的关系", choices=[("", "请选择"), *Guardian.Relation.choices]
    )
    evidence = forms.ChoiceField(label="监护关系依据", choices=_EVIDENCE, initial="guardian")
    purposes = forms.MultipleChoiceField(
        label="监护人同意的处理目的",
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text="逐项读给监护人听，同意的才勾选",
    )
    field_order = ("relation", "kind", "number", "name", "born", "evidence", "purposes")

    def __init__(self, *args: Any, notice: Notice, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kinds = {True: "（必要）", False: "（可选）"}
        self.fields["purposes"].choices = [  # type: ignore[attr-defined] # of a choice
            (one["code"], f"{one['label']}{kinds[one['required']]}") for one in notice.purposes
        ]
