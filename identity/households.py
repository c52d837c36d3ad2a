"""Which persons are one household, of both kinds, from the agencies' own household numbers.

Registered (户籍): on one household register. Living together (共同生活): Measures for the Examination and Approval of the Minimum
Living Allowance (民发〔2021〕57号) art. 7; as long as evidence on who lives where is the agencies' numbers, it stands for that
rule. A person who is in no agency's living household is taken to live with the registered one; where most of that one live elsewhere,
there.

Each person belongs to one household of a kind: that of the most authoritative source, then the newest. Numbers of different
agencies are one household where most of the members of the lesser one belong to the greater one, but for who shares neither address nor
telephone with any of these.
"""

import polars as pl


def _home(groups: pl.DataFrame) -> pl.DataFrame:
    """The group each person is counted in: columns of `groups`, one row a person."""
    order = ["person_id", "authority", "as_of_date", "group", "record_id"]
    descending = [False, True, True, False, False]
    return groups.sort(order, descending=descending).unique("person_id", keep="first", maintain_order=True)


def _leads(groups: pl.DataFrame, home: pl.DataFrame) -> pl.DataFrame:
    """Which lesser group is really another one: columns group, leads_to, at_authority (of those who vote for it)."""
    votes = groups.group_by("group", "person_id").agg(pl.col("authority").max())
    votes = votes.join(home.select("person_id", at="group", at_authority="authority"), on="person_id")
    elsewhere = votes.filter((pl.col("at") != pl.col("group")) & (pl.col("at_authority") > pl.col("authority")))
    counted = elsewhere.group_by("group", "at").agg(pl.len().alias("for"), pl.col("at_authority").max())
    counted = counted.with_columns(all=pl.col("for").sum().over("group"))
    return counted.filter(pl.col("for") * 2 > pl.col("all")).select("group", "at_authority", leads_to="at")


def _lives_apart(groups: pl.DataFrame, home: pl.DataFrame, leads: pl.DataFrame, traces: pl.DataFrame) -> pl.Series:
    """Who was never at one address, or one telephone, with those who left the same number for another.

    Nothing but a number speaks for their living together. Registers keep children who moved out long ago; and the children a couple left
    with their grandparents do not take the couple there.
    """
    told = traces.select("person_id").unique()
    led = home.join(told, on="person_id", how="semi").join(leads, on="group").select("person_id", "group", "leads_to")
    left = groups.select("group", other="person_id").join(home.select(other="person_id", leads_to="group"), on="other")
    left = left.join(told, left_on="other", right_on="person_id", how="semi")
    others = led.join(left, on=["group", "leads_to"]).unique(["person_id", "other"])
    near = others.join(traces, on="person_id").join(traces.rename({"person_id": "other"}), on=["other", "trace"], how="semi")
    return others.join(near, on="person_id", how="anti")["person_id"].unique()


def resolve(memberships: pl.DataFrame, traces: pl.DataFrame | None = None) -> pl.DataFrame:
    """Households of one kind.

    Args:
        memberships: one row a record with a household number: ``person_id``, ``record_id``, ``authority`` of its source (0 =
            stands in for missing evidence), ``as_of_date``, ``group`` (equal = same agency and number).
        traces: ``person_id``, ``trace`` (equal = same address, or same telephone), in any number. None = not known; who has none is not
            parted from others.

    Returns:
        One row a person: ``person_id``, ``record_id`` (the record that decided), ``anchor_record_id`` (a record whose agency
        and number name the household), ``anchor_authority`` (0 = that number only stands in), ``evidence`` (``own_number``,
        ``shared_members`` or ``registered_household``).
    """
    home = _home(memberships)
    leads = _leads(memberships, home)
    anchors = memberships.group_by("group").agg(anchor_record_id=pl.col("record_id").min())
    # One step only: who is decided by whom stays within two groups, so that a night need not look further.
    placed = home.join(leads, on="group", how="left")
    if traces is not None:
        stays = pl.col("person_id").is_in(_lives_apart(memberships, home, leads, traces).implode())
        placed = placed.with_columns(pl.when(~stays).then(c).alias(c) for c in ("leads_to", "at_authority"))
    placed = placed.with_columns(final=pl.coalesce("leads_to", "group"))
    return placed.join(anchors, left_on="final", right_on="group").select(
        "person_id",
        "record_id",
        "anchor_record_id",
        anchor_authority=pl.coalesce("at_authority", "authority"),
        evidence=pl.when(pl.col("authority") == 0)
        .then(pl.lit("registered_household"))
        .when(pl.col("final") != pl.col("group"))
        .then(pl.lit("shared_members"))
        .otherwise(pl.lit("own_number")),
    )
