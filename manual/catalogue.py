"""docs/catalogue.md: every source and field, from the contracts."""

from manual.markdown import table
from schemas.codes import CODES_DIR, load_code_set
from schemas.concepts import load_concepts
from schemas.contract import Contract, Field, load_contracts

_CLASSES = {"public": "公开 public", "internal": "内部 internal", "personal": "个人 personal", "sensitive": "敏感 sensitive"}


def _type(field: Field) -> str:
    return field.logical_type if field.physical_type in ("text", "date", "timestamptz", "boolean", "bigint") else field.physical_type


def _presence(field: Field) -> str:
    return "键 key" if field.is_key else "必填 required" if field.required else ""


def _source(contract: Contract) -> str:
    delivery = contract.delivery
    facts = [
        ("机构 agency", f"{contract.agency_zh} / {contract.agency_en}"),
        ("契约 contract", f"`schemas/{contract.path.name}` {contract.version}"),
        ("接口 protocol", f"{delivery.protocol}, {delivery.media}, {delivery.encoding}"),
        ("范围 scope", ", ".join(delivery.scopes)),
        ("时间 schedule", f"`{delivery.schedule}`, deadline {delivery.deadline:%H:%M} Asia/Shanghai"),
        ("声明 declares", ", ".join(delivery.declares)),
        ("权威度 authority", contract.authority),
        ("法律依据 legal basis", "; ".join(contract.legal_basis)),
        ("联系人 contact", contract.contact),
    ]
    fields = [
        [
            f"`{f.name}`", f"`{f.physical_name}`", f.title_zh, f.title_en, _type(f), f"[{f.code_set}](#{f.code_set})" if f.code_set else "",
            _presence(f), _CLASSES.get(f.classification, f.classification), f"`{f.concept}`" if f.concept else "", f.legal_basis or "",
        ]
        for f in contract.fields
    ]  # fmt: skip
    heads = ["field", "at the agency", "中文", "English", "type", "codes", "", "class", "concept", "own legal basis"]
    return f"""## {contract.title_zh} · {contract.title_en} (`{contract.stem}`)

{table(["", ""], facts)}
{table(heads, fields)}"""


def _concepts(contracts: dict[str, Contract]) -> str:
    rows = []
    for name, concept in load_concepts().items():
        carried = [c.stem for c in contracts.values() if c.by_concept(name)]
        rows.append([f"`{name}`", concept.zh, concept.en, concept.source or "", ", ".join(carried)])
    return table(["concept", "中文", "English", "standard", "carried by"], rows)


def _codes() -> str:
    parts = []
    for path in sorted(CODES_DIR.glob("*.csv")):
        entries = load_code_set(path.stem)
        sources = "; ".join(sorted({e.source for e in entries.values()}))
        parts.append(f"### {path.stem}\n\n{len(entries)} codes; {sources}\n")
        if len(entries) <= 60:
            parts.append(table(["code", "中文", "English"], [[f"`{code}`", e.zh, e.en] for code, e in entries.items()]))
        else:
            parts.append(f"The list is `schemas/codes/{path.name}`.\n")
    return "\n".join(parts)


def page() -> str:
    """The page."""
    contracts = load_contracts()
    fields = sum(len(c.fields) for c in contracts.values())
    sources = "\n".join(_source(c) for c in contracts.values())
    return f"""# 数据目录 · Catalogue

{len(contracts)} 个来源 sources, {fields} 个字段 fields. A field without a legal basis of its own rests on its source's. *sensitive* is sensitive personal
information within the meaning of the Personal Information Protection Law, art. 28. An empty presence means the value may be missing.

{sources}
## 共通概念 · Concepts

What a field means wherever it comes from; identity and golden values work on these.

{_concepts(contracts)}
## 代码集 · Code sets

{_codes()}"""
