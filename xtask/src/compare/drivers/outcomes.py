"""What became of each test, one JSON line a test, written as soon as it is known. Knows no driver.

A test that does not end is said to be hung, and ends the process: whoever started it starts it again, and what has its
line already is not run a second time.
"""

import json
import os
import threading

import pytest

OUTCOMES = os.environ["COMPARE_OUTCOMES"]
SECONDS_MAX = float(os.environ["COMPARE_SECONDS_MAX"])
WORDS_MAX = 300


def known():
    try:
        with open(OUTCOMES, encoding="utf-8") as lines:
            return {json.loads(line)["test"] for line in lines}
    except FileNotFoundError:
        return set()


def tell(test, outcome, words=""):
    line = {"test": test, "outcome": outcome, "words": words[-WORDS_MAX:]}
    with open(OUTCOMES, "a", encoding="utf-8") as out:
        out.write(json.dumps(line) + "\n")


def pytest_collection_modifyitems(items):
    done = known()
    wanted = os.environ.get("COMPARE_ONLY")
    if wanted:
        with open(wanted, encoding="utf-8") as lines:
            names = {line.rstrip("\n") for line in lines}
        items[:] = [item for item in items if item.nodeid in names]
    items[:] = [item for item in items if item.nodeid not in done]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    def hung():
        tell(item.nodeid, "hung")
        os._exit(3)

    watch = threading.Timer(SECONDS_MAX, hung)
    watch.daemon = True
    watch.start()
    item.outcomes = []
    try:
        return (yield)
    finally:
        watch.cancel()
        bad = [one for one in item.outcomes if one[0] != "passed"]
        outcome, words = bad[0] if bad else ("passed", "")
        tell(item.nodeid, outcome, words)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    words = ""
    if call.excinfo is not None:
        words = " ".join(call.excinfo.exconly().split())
    if report.skipped and hasattr(report, "wasxfail"):
        item.outcomes.append(("xfailed", words))
    else:
        item.outcomes.append((report.outcome, words))
    return report
