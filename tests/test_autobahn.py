"""Autobahn judges both socket servers, and rooms on our own frames. What is not plainly good is explained in tests/README.md."""

import asyncio
import os

import autobahn
import pytest
from autobahn import GOOD, verdict

pytestmark = pytest.mark.timeout(900)  # it may have to be installed first

# Case: what Autobahn says about it, if anything. The README of the tests has the reasons.
EXPLAINED = {
    **dict.fromkeys(("raw_websocket", "rooms --engine=raw"), dict.fromkeys(("6.4.3", "6.4.4"), "NON-STRICT")),
    "websocket": {
        **dict.fromkeys((f"3.{n}" for n in range(1, 8)), "NON-STRICT"),
        **dict.fromkeys((f"4.{kind}.{n}" for kind in (1, 2) for n in range(1, 6)), "NON-STRICT"),
        "5.15": "NON-STRICT",
        **dict.fromkeys(("6.4.1", "6.4.2", "6.4.3", "6.4.4"), "NON-STRICT"),
        "7.1.5": "FAILED, close WRONG CODE",
        **dict.fromkeys(("9.3.1", "9.3.2", "9.3.3", "9.4.1", "9.4.2", "9.4.3"), "FAILED"),
    },
}


@pytest.fixture(scope="module")
def found():
    """What Autobahn says to each case, for both servers."""
    if not autobahn.wstest():
        if not os.environ.get("CI"):
            pytest.skip(
                "Autobahn is not installed (python tests/autobahn.py --install); labs.conformance stands in for it"
            )
        try:
            autobahn.install()
        except RuntimeError as error:
            pytest.skip(f"{error}; labs.conformance stands in for it")
    return asyncio.run(autobahn.judge(autobahn.SERVERS))


@pytest.mark.parametrize("name", autobahn.SERVERS)
def test_autobahn_finds_nothing_that_is_not_explained(found, name):
    assert len(found[name]) > 290
    strange = {case: verdict(said) for case, said in found[name].items() if verdict(said) not in GOOD}
    assert {case: word for case, word in strange.items() if EXPLAINED[name].get(case) != word} == {}


@pytest.mark.parametrize("name", ["raw_websocket", "rooms --engine=raw"])
def test_autobahn_finds_no_failure_in_the_servers_that_are_made_by_hand(found, name):
    failed = {case for case, said in found[name].items() if "FAILED" in (said["behavior"], said["behaviorClose"])}
    assert failed == set()
