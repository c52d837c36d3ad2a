"""The policy in words: why a decision is what it is, and what a new policy changes."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from sharing.attributes import catalogue
from sharing.decide import Decision, Reason, Subject, admits, decide, tells
from sharing.policy import Grant, Policy, Rows

_WHY = {
    Reason.GRANTED: "授权项写明 / the grant names it",
    Reason.NO_GRANT: "该部门在这一天没有该用途的授权 / the department has no grant for this purpose on that day",
    Reason.NO_CONSENT: "该用途须有本人授权 / the purpose needs the person's authorisation",
    Reason.NO_EMERGENCY: "该授权仅限紧急调阅期间 / the grant speaks while an emergency is open, and not otherwise",
    Reason.NOT_NAMED: "授权项未列，默认拒绝 / the grant does not name it: refused by default",
    Reason.REFUSED: "授权项明确拒绝 / the grant refuses it",
    Reason.OUTSIDE: "该人不在授权人群之内 / the person is not among those the grant speaks of",
}


def rows_in_words(rows: Rows) -> str:
    """About whom a grant speaks."""
    parts = []
    if rows.territory:
        parts.append(f"住在 lives in {', '.join(rows.territory)}")
    if rows.min_age is not None:
        parts.append(f"年满 aged {rows.min_age}+")
    if rows.max_age is not None:
        parts.append(f"不超过 at most {rows.max_age} 岁 years")
    if rows.known_to:
        parts.append(f"在册于 known to {', '.join(rows.known_to)}")
    if rows.programs:
        parts.append(f"属于 in the program of {', '.join(rows.programs)}")
    if rows.consent:
        parts.append("已登记本人授权 consent registered")
    return " · ".join(parts) or "所有人 everybody"


def emergency_in_words(grant: Grant) -> str:
    """How long an emergency lasts and of how many persons may be told in it; a dash where the grant needs none."""
    return f"{grant.emergency.minutes} 分钟 minutes, {grant.emergency.persons} 人 persons" if grant.emergency else "—"


def explained(
    policy: Policy,
    department: str,
    purpose: str,
    attributes: Sequence[str] | None,
    subject: Subject | None,
    day: date,
    *,
    has_consent: bool,
) -> dict[str, Any]:
    """Why a department is told what it is.

    Args:
        policy: in question.
        department: who asks.
        purpose: what for.
        attributes: asked for; None = all the grant names.
        subject: a person to decide for; None = whoever the grant speaks of.
        day: of the night.
        has_consent: whether the person's authorisation is there.
    """
    grant = policy.grant(department, purpose, day)
    names = list(attributes) if attributes is not None else list(grant.attributes if grant is not None else ())
    decisions: dict[str, Decision]
    if subject is not None:
        decisions = decide(policy, department, purpose, names, subject, day, has_consent=has_consent)
    else:
        admitted = admits(policy, department, purpose, day, has_consent=has_consent)
        if isinstance(admitted, Grant):
            decisions = tells(admitted, names)
        else:
            decisions = dict.fromkeys(names, Decision("refused", admitted))
    known = policy.purposes.get(purpose)
    summary = f"{policy.version} · {day} · {department} × {purpose}: "
    if grant is None or known is None:
        summary += _WHY[Reason.NO_GRANT]
    else:
        summary += (
            f"{known.title.zh} / {known.title.en} · {'; '.join(known.legal_basis)} · 保存 kept {known.retention_days} 天 days"
            f" · {rows_in_words(grant.rows)} · 问题 questions: {', '.join(grant.questions) or '—'}"
            f" · 订阅 subscribe: {', '.join(grant.subscribe) or '—'}"
            f" · 追溯 back: {f'{grant.past_days:,} 天 days' if grant.past_days else '—'}"
            f" · 导出 export: {f'{grant.export:,} 人 persons' if grant.export else '—'}"
            f" · 批量比对 compare job: {f'{grant.compare_job:,} 行 rows' if grant.compare_job else '—'}"
            + (f" · 仅限紧急调阅 in emergencies alone: {emergency_in_words(grant)}" if grant.emergency else "")
        )
    return {
        "policy_version": policy.version, "day": day, "department": department, "purpose": purpose, "summary": summary,
        "decisions": [
            {
                "attribute": name, "effect": str(d.effect), "reason": str(d.reason), "why": _WHY[d.reason],
                "classification": catalogue()[name].classification if name in catalogue() else None,
            }
            for name, d in decisions.items()
        ],
    }  # fmt: skip


def differences(old: Policy, new: Policy) -> list[str]:
    """What a new policy changes, a line each: more is marked +, less −, other ~."""
    lines = []
    for kind, zh in (("departments", "部门"), ("purposes", "用途"), ("questions", "问题")):
        before, after = getattr(old, kind), getattr(new, kind)
        lines += [f"+ {zh} {kind[:-1]} {code}" for code in after if code not in before]
        lines += [f"− {zh} {kind[:-1]} {code}" for code in before if code not in after]
        lines += [f"~ {zh} {kind[:-1]} {code}: 内容有变 changed" for code in after if code in before and after[code] != before[code]]
    grants = [{(g.department, g.purpose): g for g in p.grants} for p in (old, new)]
    order = ["refused", "yes_no", "derived", "masked", "clear"]
    for key in sorted({*grants[0], *grants[1]}):
        name, was, now = " × ".join(key), grants[0].get(key), grants[1].get(key)
        if was is None or now is None:
            lines.append(f"{'+' if was is None else '−'} 授权 grant {name}")
        told_before, told_after = (dict(g.attributes) if g is not None else {} for g in (was, now))
        for attribute in sorted({*told_before, *told_after}):
            a, b = told_before.get(attribute, "refused"), told_after.get(attribute, "refused")
            if a != b:
                mark = "+" if order.index(b) > order.index(a) else "−"
                lines.append(f"{mark} {name}: {attribute} {a} → {b}")
        asked_before, asked_after = (set(g.questions) if g is not None else set() for g in (was, now))
        lines += [f"+ {name}: 问题 question {q}" for q in sorted(asked_after - asked_before)]
        lines += [f"− {name}: 问题 question {q}" for q in sorted(asked_before - asked_after)]
        if was is not None and now is not None:
            if was.rows != now.rows:
                lines.append(f"~ {name}: {rows_in_words(was.rows)} → {rows_in_words(now.rows)}")
            if (was.valid_from, was.valid_to) != (now.valid_from, now.valid_to):
                lines.append(f"~ {name}: 有效期 valid {was.valid_from}…{was.valid_to} → {now.valid_from}…{now.valid_to}")
            if was.lookup != now.lookup:
                lines.append(f"~ {name}: 查找方式 look-up {', '.join(was.lookup)} → {', '.join(now.lookup)}")
            if was.subscribe != now.subscribe:
                lines.append(f"~ {name}: 订阅 subscribe {', '.join(was.subscribe) or '—'} → {', '.join(now.subscribe) or '—'}")
            if was.past_days != now.past_days:
                lines.append(
                    f"{'+' if now.past_days > was.past_days else '−'} {name}: 追溯 back {was.past_days:,} → {now.past_days:,} 天 days"
                )
            if was.compare_job != now.compare_job:
                lines.append(
                    f"{'+' if now.compare_job > was.compare_job else '−'} {name}: 批量比对 compare job {was.compare_job:,} → {now.compare_job:,} 行 rows"
                )
            if was.emergency != now.emergency:
                lines.append(f"~ {name}: 紧急调阅 emergency {emergency_in_words(was)} → {emergency_in_words(now)}")
            if was.export != now.export:
                lines.append(f"{'+' if now.export > was.export else '−'} {name}: 导出 export {was.export:,} → {now.export:,} 人 persons")
    return lines
