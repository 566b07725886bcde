"""Runs one file of the Paho interoperability suite (a checkout of eclipse/paho.mqtt.testing) against one broker.

    suite.py CHECKOUT client_test.py|client_test5.py PORT

Every test on its own, with the suite's own clean-up before it, so that none inherits what another left.
Prints a line for each, `name passed` or `name failed: why`, and what the suite says on standard error.
The suite's files keep what its `main` sets in globals; they are set here to the same values.
"""
import importlib
import logging
import os
import signal
import sys
import unittest

PATIENCE_S = 60  # the longest test sleeps 21 s


class TooLong(BaseException):
    """Past every `except Exception` of the suite."""


def too_long(*_):
    signal.alarm(2)  # some tests swallow it and go on
    raise TooLong(f"no end after {PATIENCE_S} s")


def why(result):
    for _, trace in result.failures + result.errors:
        return trace.strip().splitlines()[-1]
    return "skipped"


def main():
    checkout, file, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    sys.path.insert(0, os.path.join(checkout, "interoperability"))
    answers, sys.stdout = sys.stdout, sys.stderr  # the suite prints
    suite = importlib.import_module(file.removesuffix(".py"))
    suite.host, suite.port = "127.0.0.1", port
    suite.topics = ("TopicA", "TopicA/B", "Topic/C", "TopicA/C", "/TopicA")
    suite.wildtopics = ("TopicA/+", "+/C", "#", "/#", "/+", "+/+", "TopicA/#")
    suite.nosubscribe_topics = ("test/nosubscribe",)
    suite.topic_prefix = "client_test5/"
    # `setData` would do the same, and the suite logs with wrong numbers of arguments.
    suite.setData = lambda: None
    logging.raiseExceptions = False
    signal.signal(signal.SIGALRM, too_long)
    for name in unittest.defaultTestLoader.getTestCaseNames(suite.Test):
        print(f"--- {name}", file=sys.stderr, flush=True)
        result = unittest.TestResult()
        signal.alarm(PATIENCE_S)
        try:
            unittest.TestSuite([suite.Test(name)]).run(result)
            told = "passed" if result.wasSuccessful() and not result.skipped else f"failed: {why(result)}"
        except TooLong as trouble:
            told = f"failed: {trouble}"
        signal.alarm(0)
        for _, trace in result.failures + result.errors:
            print(trace, file=sys.stderr)
        print(name, told, file=answers, flush=True)
    os._exit(0)  # the suite leaves threads behind that wait for a broker


main()
