"""The decision, over all policies: what is not written is refused, and a second opinion agrees."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharing import decide
from sharing import policy as policies_of_the_hub
from sharing.attributes import catalogue
from sharing.decide import Reason, Subject
from sharing.policy import Policy
from tests.examples import examples
from tests.sharing import policies

DAY = date(2026, 3, 1)
subjects = st.builds(
    Subject,
    st.one_of(st.none(), st.sampled_from(["421022100209", "421022101", "421023100", "110101", "42"])),
    st.one_of(
        st.none(), st.dates(date(1920, 1, 1), date(2026, 2, 28)), st.sampled_from([date(2008, 2, 29), date(2012, 3, 1), date(2012, 3, 2)])
    ),
    st.frozensets(st.sampled_from(["education", "disability", "health"])),
    st.frozensets(st.sampled_from([*policies.QUESTIONS])),
    st.booleans(),
)


@examples(400)
@given(policy=policies.policies(), subject=subjects, day=st.sampled_from([DAY, date(2026, 2, 28), date(2028, 2, 29)]))
def test_the_decision_is_that_of_a_second_opinion_over_the_whole_matrix(policy, subject, day):
    for department in (*policies.DEPARTMENTS, "stranger"):
        for purpose in (*policies.PURPOSES, "nothing"):
            found = decide.decide(policy, department, purpose, catalogue(), subject, day, has_consent=True)
            for attribute, decision in found.items():
                told = policies.effect(policy, department, purpose, attribute, subject, day)
                assert (decision.effect, decision.effect == "refused") == (told, decision.reason is not Reason.GRANTED)


@pytest.fixture(scope="module")
def policy():
    return policies_of_the_hub.in_force(DAY)


ADULT = Subject("421022100209", date(1980, 1, 1), frozenset())


def decided(policy, department, purpose, attribute, subject=ADULT, *, has_consent=True, day=DAY):
    return decide.decide(policy, department, purpose, [attribute], subject, day, has_consent=has_consent)[attribute]


def test_a_purpose_that_needs_consent_is_refused_without_it(policy):
    assert decided(policy, "civil_affairs", "low_income_review", "person.name").effect == "clear"
    assert decided(policy, "civil_affairs", "low_income_review", "person.name", has_consent=False).reason is Reason.NO_CONSENT


def test_a_child_under_14_is_outside_a_grant_of_sensitive_attributes(policy):
    child = Subject("421022100209", date(2012, 3, 2), frozenset())
    assert decided(policy, "civil_affairs", "low_income_review", "person.name", child).reason is Reason.OUTSIDE
    of_age = Subject("421022100209", date(2012, 3, 1), frozenset())
    assert decided(policy, "civil_affairs", "low_income_review", "person.name", of_age).reason is Reason.GRANTED


def test_a_person_of_another_town_is_outside_the_towns_grant(policy):
    elsewhere = Subject("421022101200", date(1980, 1, 1), frozenset())
    assert decided(policy, "town_office", "low_income_review", "person.name", elsewhere).reason is Reason.OUTSIDE


def test_a_person_no_agency_of_the_grant_knows_is_outside(policy):
    assert decided(policy, "disabled_federation", "disability_allowance", "person.name").reason is Reason.OUTSIDE


def test_what_a_grant_refuses_is_told_from_what_it_does_not_name(policy):
    assert decided(policy, "civil_affairs", "low_income_review", "health.mental_risk_level").reason is Reason.REFUSED
    assert decided(policy, "civil_affairs", "low_income_review", "health.ethnicity").reason is Reason.NOT_NAMED


def test_a_grant_is_in_force_on_its_first_and_last_day_and_on_no_other(policy):
    grant = policy.grants[0].model_copy(update={"valid_from": date(2026, 2, 1), "valid_to": DAY})
    dated = Policy.model_validate({**policy.model_dump(), "grants": [grant]})
    days = {date(2026, 1, 31): False, date(2026, 2, 1): True, DAY: True, date(2026, 3, 2): False}
    assert {d: dated.grant("civil_affairs", "low_income_review", d) is not None for d in days} == days
