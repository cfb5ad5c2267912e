"""Values of Secrets are taken out of everything that a tool says."""

from __future__ import annotations

import base64

import pytest

from kubechain.agents.call.outcome import Artifact, Done, Failure, Interruption, Outcome, Parked, without
from kubechain.agents.call.redaction import hidden_values
from kubechain.resources.toolcall import ExternalWork

TOKEN = 's3cr"t&/token'
HIDDEN = hidden_values({"TOKEN": TOKEN, "MODE": "production", "PIN": "1234"}, ["TOKEN", "PIN"])


@pytest.mark.parametrize(
    "outcome",
    [
        Done(f"the token is {TOKEN}"),
        Done('{"token": "s3cr\\"t&/token"}'),
        Done("https://example.com/?t=s3cr%22t%26%2Ftoken"),
        Done(f"Basic {base64.b64encode(TOKEN.encode()).decode()}"),
        Done("", (Artifact(f"x{TOKEN}y".encode(), "text/plain", f"{TOKEN}.txt"),)),
        Failure(f"401 for {TOKEN}", "Transient", 3.0),
        Interruption(f"died with {TOKEN}", timed_out=True),
        Parked(ExternalWork(id="1", url=f"https://x/{TOKEN}"), waiting_on=f"job {TOKEN}"),
    ],
)
def test_no_outcome_shows_a_secret_in_any_form(outcome: Outcome) -> None:
    shown = str(without(outcome, HIDDEN))
    for form in (TOKEN, 's3cr\\"t', "s3cr%22t", base64.b64encode(TOKEN.encode()).decode().rstrip("=")):
        assert form not in shown
    assert "[redacted]" in shown


def test_the_rest_of_an_outcome_stays() -> None:
    failure = without(Failure(f"401 {TOKEN}", "RateLimited", 3.0), HIDDEN)
    assert failure == Failure("401 [redacted]", "RateLimited", 3.0)
    assert without(Done("production 1234"), HIDDEN) == Done("production 1234"), "not a secret, and too short"
