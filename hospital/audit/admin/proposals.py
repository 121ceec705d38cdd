"""What takes two people: one asks, another decides."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseNotAllowed,
)
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django.utils import timezone
from django.utils.html import format_html

from hospital import roles, stepup
from hospital.admin import GrantedAdmin, demand, refusals_told
from hospital.audit import key_destruction, proposing, restores
from hospital.audit.admin import proposed
from hospital.audit.keeping import pruning, redacting
from hospital.audit.kept import Archive
from hospital.audit.log import Leaf
from hospital.audit.proposals import Proposal
from hospital.crypto import destroying
from hospital.roles import May

State = Proposal.State
BADGES = {
    State.ASKED: "guardian_required",
    State.APPROVED: "authorized",
    State.REFUSED: "declined",
    State.WITHDRAWN: "expired",
    State.EXPIRED: "expired",
    State.DONE: "success",
    State.FAILED: "failed",
}


DECISIONS = frozenset({"approve", "refuse"})


class Reason(forms.Form):
    """Why: one sentence, which the decider and every later auditor reads."""

    note = forms.CharField(
        label="理由",
        max_length=200,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="必填，200 字以内；写进留痕，不要写患者信息",
    )


class PruneRequest(Reason):
    """Up to which archive; where it begins nobody chooses."""

    end = forms.TypedChoiceField(label="清理到", coerce=int)
    field_order = ["end", "note"]

    def __init__(self, *args: Any, archives: list[Archive], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["end"].choices = [  # type: ignore[attr-defined]
            (one.end, f"序号 {one.end - 1:,}（归档 {one.pk}）") for one in archives
        ]
        self.initial["end"] = archives[-1].end


class DestructionRequest(Reason):
    """Which wrapping key."""

    epoch = forms.TypedChoiceField(label="主密钥", coerce=int)
    field_order = ["epoch", "note"]

    def __init__(self, *args: Any, epochs: list[int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["epoch"].choices = [  # type: ignore[attr-defined]
            (number, f"第 {number} 代") for number in epochs
        ]


class RestoreRequest(Reason):
    """Which backup, of those the trail knows."""

    backup = forms.ChoiceField(label="备份")
    field_order = ["backup", "note"]

    def __init__(self, *args: Any, backups: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["backup"].choices = [  # type: ignore[attr-defined]
            (one, f"{one}（摘要 {digest[:16]}…）") for one, digest in backups.items()
        ]


@admin.register(Proposal)
class ProposalAdmin(GrantedAdmin):
    """
    Requests and what became of them. Who asks never decides.

    Each sees the kinds they have a part in, and those this version no longer knows.
    """

    list_display = ("what", "about", "standing", "asker", "reason", "asked_at", "expires_at")
    list_filter = ("state",)
    fields = readonly_fields = (
        "what",
        "about_in_full",
        "standing",
        "reason",
        "asker",
        "asked_at",
        "expires_at",
        "decider",
        "decided_at",
        "done_at",
        "failure",
    )
    change_form_template = "admin/audit/proposal/change_form.html"
    change_list_template = "admin/audit/proposal/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        return [
            self.at("prune/", self.prune_view, "prune"),
            self.at("redact/", self.redact_view, "redact"),
            self.at("destroy/", self.destroy_view, "destroy"),
            self.at("restore/", self.restore_view, "restore"),
            self.at("<uuid:pk>/decision/", self.decision_view, "decision"),
            self.at("<uuid:pk>/withdrawal/", self.withdrawal_view, "withdrawal"),
            *super().get_urls(),
        ]

    def has_view_permission(self, request: HttpRequest, obj: Proposal | None = None) -> bool:
        return bool(proposing.kinds_for(request.user))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Proposal]:
        theirs = {kind.tag for kind in proposing.kinds_for(request.user)}
        others = {kind.tag for kind in proposing.kinds()} - theirs
        return Proposal.objects.exclude(kind__in=others)

    @admin.display(description="事项")
    def what(self, proposal: Proposal) -> str:
        return proposed.label(proposal)

    @admin.display(description="内容")
    def about(self, proposal: Proposal) -> str:
        return proposed.told(proposal)

    @admin.display(description="内容")
    def about_in_full(self, proposal: Proposal) -> str:
        return proposed.told_in_full(proposal)

    @admin.display(description="状态", ordering="state")
    def standing(self, proposal: Proposal) -> str:
        badge = BADGES.get(State(proposal.state), "")
        shown = proposal.get_state_display()
        if proposal.state == State.ASKED and proposal.expires_at <= timezone.now():
            badge, shown = "expired", State.EXPIRED.label
        return format_html('<span class="badge badge-{}">{}</span>', badge, shown)

    @admin.display(description="失败原因")
    def failure(self, proposal: Proposal) -> str:
        code = proposing.why_failed(proposal)
        return f"{proposed.sentence(code)}（{code}）" if code else "—"

    @admin.display(description="申请人")
    def asker(self, proposal: Proposal) -> str:
        return proposed.name(proposal, proposal.asked_by)

    @admin.display(description="批准人")
    def decider(self, proposal: Proposal) -> str:
        return proposed.name(proposal, proposal.decided_by)

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        shown = super().get_changelist_instance(request)
        shown.result_list = list(shown.result_list)
        proposed.know_people(shown.result_list)
        return shown

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        asks = {
            "may_ask": roles.may(request.user, May.KEEP_TRAIL),
            "may_ask_destruction": roles.may(request.user, May.ASK_KEY_DESTRUCTION),
            "may_ask_restore": roles.may(request.user, May.ASK_RESTORE),
        }
        return super().changelist_view(request, {**asks, **(extra_context or {})})

    def shown(self, request: HttpRequest, obj: Proposal) -> dict[str, Any]:
        kind, now = _kind(obj), timezone.now()
        if kind is None:  # asked for under an older version
            return {"heading": proposed.label(obj)}
        waits = obj.state == State.ASKED and obj.expires_at > now
        is_asker = obj.asked_by == request.user.pk
        return {
            "heading": proposed.label(obj),
            "about": proposed.told_in_full(obj),
            "asker": proposed.name(obj, obj.asked_by),
            "archives": proposed.archives(obj),
            "is_redaction": obj.kind == "audit.redact",
            "line": proposed.line_of(obj),
            "is_own": bool(kind.concerned(obj.facts) & {str(obj.asked_by), str(request.user.pk)}),
            "next": proposed.next_step(kind) if waits or obj.state == State.APPROVED else "",
            "may_decide": waits and not is_asker and roles.may(request.user, kind.decides),
            "may_withdraw": is_asker and obj.state in {State.ASKED, State.APPROVED},
        }

    def prune_view(self, request: HttpRequest) -> HttpResponseBase:
        """Ask for the removal of archived events."""
        demand(request, May.KEEP_TRAIL)
        return self._prune_asked(request)

    @stepup.fresh
    def _prune_asked(self, request: HttpRequest, /) -> HttpResponse:
        stretch = pruning.prunable(at=timezone.now())
        context: dict[str, Any] = {"stretch": stretch}
        if stretch:
            context["archives"] = stretch.archives
            form = PruneRequest(request.POST or None, archives=stretch.archives)
            context["form"] = form
            if request.method == "POST" and form.is_valid():
                facts = {"start": stretch.start, "end": form.cleaned_data["end"]}
                if answer := _ask(request, "audit.prune", facts, form.cleaned_data["note"]):
                    return answer
        return self._page(request, "prune", "申请清理留痕", **context)

    def redact_view(self, request: HttpRequest) -> HttpResponse:
        """Ask for what a line says to be removed; first show which line it is."""
        demand(request, May.KEEP_TRAIL)
        given = request.POST if request.method == "POST" else request.GET
        leaf = _leaf(given.get("index", ""))
        form = Reason(request.POST or None)
        hash_ = bytes(leaf.hash).hex() if leaf else ""
        if request.method == "POST" and leaf and given.get("hash") != hash_:
            messages.error(request, str(redacting.NoSuchLine()))  # not what they looked at
        elif request.method == "POST" and leaf and form.is_valid():
            facts = {"index": leaf.index, "hash": hash_}
            if answer := _ask(request, "audit.redact", facts, form.cleaned_data["note"]):
                return answer
        context: dict[str, Any] = {"index": given.get("index", ""), "leaf": leaf, "form": form}
        if leaf:
            context["hash"] = hash_
            context["line"] = proposed.line(leaf)
            context["archives"] = redacting.holding(leaf.index)
        return self._page(request, "redact", "申请遮盖留痕", **context)

    def destroy_view(self, request: HttpRequest) -> HttpResponseBase:
        """Ask for the destruction of a wrapping key that wraps nothing any more."""
        demand(request, May.ASK_KEY_DESTRUCTION)
        return self._destruction_asked(request)

    @stepup.fresh
    def _destruction_asked(self, request: HttpRequest, /) -> HttpResponse:
        idle = destroying.destroyable()
        form = DestructionRequest(request.POST or None, epochs=idle)
        if request.method == "POST" and form.is_valid():
            facts = {"epoch": form.cleaned_data["epoch"]}
            if answer := _ask(request, key_destruction.TAG, facts, form.cleaned_data["note"]):
                return answer
        return self._page(request, "destroy", "申请销毁主密钥", epochs=idle, form=form)

    def restore_view(self, request: HttpRequest) -> HttpResponseBase:
        """Ask that a backup takes the place of what is there."""
        demand(request, May.ASK_RESTORE)
        return self._restore_asked(request)

    @stepup.fresh
    def _restore_asked(self, request: HttpRequest, /) -> HttpResponse:
        backups = restores.known()
        form = RestoreRequest(request.POST or None, backups=backups)
        if request.method == "POST" and form.is_valid():
            chosen = form.cleaned_data["backup"]
            facts = {"backup": chosen, "digest": backups[chosen]}
            if answer := _ask(request, restores.TAG, facts, form.cleaned_data["note"]):
                return answer
        return self._page(request, "restore", "申请恢复备份", backups=backups, form=form)

    def decision_view(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        """Let the second person decide, who has just shown that it is them."""
        proposal, kind = _found(pk)
        demand(request, kind.decides)
        return self._decided(request, proposal)

    @stepup.fresh
    def _decided(self, request: HttpRequest, proposal: Proposal) -> HttpResponse:
        if request.method != "POST":
            return self._page(
                request, "decision", "审批", proposal=proposal, **self.shown(request, proposal)
            )
        decision = request.POST.get("decision")
        if decision not in DECISIONS:
            return HttpResponseBadRequest("请选择批准或不批准")
        approves = decision == "approve"
        with refusals_told(request):
            proposing.decide(proposal, approves=approves, by=_person(request), at=timezone.now())
            messages.success(request, f"{proposed.label(proposal)}：{proposal.get_state_display()}")
        return redirect("admin:audit_proposal_change", proposal.pk)

    def withdrawal_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        proposal, kind = _found(pk)
        demand(request, kind.asks)
        with refusals_told(request):
            proposing.withdraw(proposal, by=_person(request), at=timezone.now())
            messages.success(request, "申请已撤回")
        return redirect("admin:audit_proposal_change", pk)

    def _page(self, request: HttpRequest, name: str, title: str, **context: Any) -> HttpResponse:
        shown = {**self.admin_site.each_context(request), "title": title, **context}
        return TemplateResponse(request, f"admin/audit/proposal/{name}.html", shown)


def _ask(request: HttpRequest, tag: str, facts: dict[str, Any], reason: str) -> HttpResponse | None:
    proposal = None
    with refusals_told(request):
        proposal = proposing.ask(tag, facts, reason=reason, by=_person(request), at=timezone.now())
        messages.success(request, "申请已提交，请另一人批准")
    return redirect("admin:audit_proposal_change", proposal.pk) if proposal else None


def _leaf(index: str) -> Leaf | None:
    if not index.isascii() or not index.isdigit() or len(index) > 18:  # noqa: PLR2004 (fits a bigint)
        return None
    return Leaf.objects.filter(index=int(index)).first()


def _found(pk: UUID) -> tuple[Proposal, proposing.Kind]:
    proposal = get_object_or_404(Proposal, pk=pk)
    if (kind := _kind(proposal)) is None:
        raise Http404
    return proposal, kind


def _kind(proposal: Proposal) -> proposing.Kind | None:
    """Return what kind of act it is; None if this version knows no such act."""
    try:
        return proposing.kind_of(proposal)
    except KeyError:
        return None


def _person(request: HttpRequest) -> proposing.Person:
    return request.user  # type: ignore[return-value] # the admin site lets nobody else in
