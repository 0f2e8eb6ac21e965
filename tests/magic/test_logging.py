"""What a cell logs arrives where it would have arrived in place, and nothing else does."""

from __future__ import annotations

import logging

import pytest

from mecapy_jupyter.travel.environment import logging_state

from .conftest import Kernel

RESET = "import logging, sys\nlogging.disable(0)\nlogging.basicConfig(level=30, force=True)\n"


@pytest.mark.cell("travels", "Log messages, handlers")
def test_handlers_that_stay_get_what_the_cell_logs(kernel: Kernel) -> None:
    """When the cell has ended, once, with the traceback; each below its level gets nothing."""
    assert kernel.run(
        RESET + "class Kept(logging.Handler):\n"
        "    def emit(self, record): said.append(record.getMessage())\n"
        "said, log = [], logging.getLogger('to_file')\n"
        "log.addHandler(logging.FileHandler('kept.log'))\n"
        "log.addHandler(Kept(logging.ERROR)); log.setLevel(logging.INFO); log.propagate = False"
    ).ok
    ran = kernel.run(
        "%%mecapy --quiet\nimport logging\nlog = logging.getLogger('to_file')\n"
        "log.info('step %d', 3)\nlog.debug('too fine')\n"
        "try: 1 / 0\nexcept ZeroDivisionError: log.exception('failed')"
    )
    assert ran.ok and not ran.stdout and "step" not in ran.stderr, ran
    assert kernel.value("said") == "['failed']"
    lines = kernel.run("print(open('kept.log').read())").stdout.splitlines()
    assert lines[:2] == ["step 3", "failed"] and "ZeroDivisionError: division by zero" in lines
    kernel.run("logging.getLogger('to_file').handlers.clear()")


def test_a_record_comes_home_with_what_the_cell_gave_it(kernel: Kernel) -> None:
    """Its arguments as they are, and what it got with `extra=`; arguments that may change later are
    part of the text, and an error that cannot travel hinders nothing.
    """
    assert kernel.run(
        RESET + "class Kept(logging.Handler):\n"
        "    def emit(self, record): records.append(record)\n"
        "records, log = [], logging.getLogger('of_records')\n"
        "log.addHandler(Kept()); log.propagate = False"
    ).ok
    assert kernel.run(
        "%%mecapy --quiet\nimport logging, threading\nlog = logging.getLogger('of_records')\n"
        "log.error('%d of %s', 3, 'x', extra={'mesh': 2.5})\n"
        "steps = [1]\nlog.error('%s', steps)\nsteps.append(2)\n"
        "at = {'n': 1}\nlog.error('at %(n)d', at)\nat['n'] = 99\n"
        "try:\n    try: raise ValueError(threading.Lock())\n"
        "    except ValueError as why: raise KeyError('k') from why\n"
        "except KeyError: log.exception('failed')"
    ).ok
    assert kernel.value("[(r.msg, r.args) for r in records]") == str(
        [("%d of %s", (3, "x")), ("[1]", ()), ("at 1", ()), ("failed", ())]
    )
    assert kernel.value("(records[0].mesh, at)") == "(2.5, {'n': 99})"
    assert "KeyError" in kernel.value("records[3].exc_text")
    kernel.run("logging.getLogger('of_records').handlers.clear()")


def test_a_filter_that_cannot_travel_keeps_its_place(kernel: Kernel) -> None:
    """And the ones beside it theirs."""
    assert kernel.run(
        RESET + "import threading\n"
        "class Locked:\n    lock = None\n"
        "    def __init__(self): self.lock, self.file = threading.Lock(), open('f', 'w')\n"
        "    def filter(self, record): return True\n"
        "class Counts:\n    n = 0\n    def filter(self, record): self.n += 1; return True\n"
        "log = logging.getLogger('filtered'); locked, counts = Locked(), Counts()\n"
        "log.addFilter(locked); log.addFilter(counts)"
    ).ok
    assert kernel.run("%%mecapy --quiet\nx = 1").ok
    assert kernel.value("log.filters == [locked, counts]") == "True"
    kernel.run("log.filters.clear(); locked.file.close()")


@pytest.mark.cell("travels", "Formatters and filters")
def test_formatters_and_filters_of_the_notebook(kernel: Kernel) -> None:
    """Here and there, and `logging.disable` and level names with them."""
    assert kernel.run(
        RESET + "SKIPPED = {'noise'}\n"
        "class Only(logging.Filter):\n"
        "    def filter(self, record): return record.getMessage() not in SKIPPED\n"
        "class Marked(logging.Formatter):\n"
        "    def format(self, record): return f'[{record.levelname}] ' + super().format(record)\n"
        "handler = logging.StreamHandler(sys.stdout); handler.setFormatter(Marked('%(message)s'))\n"
        "logging.addLevelName(25, 'NOTE')\n"
        "log = logging.getLogger('marked'); log.addHandler(handler); log.addFilter(Only())\n"
        "log.setLevel(1); log.propagate = False; logging.disable(logging.DEBUG)"
    ).ok
    ran = kernel.run(
        "%%mecapy\nimport logging\nlog = logging.getLogger('marked')\n"
        "for text in ('noise', 'signal'): log.log(25, text)\nlog.debug('disabled')"
    )
    assert ran.ok and ran.stdout == "[NOTE] signal\n", ran
    kernel.run("log.handlers.clear(); log.filters.clear(); logging.disable(0)")


def test_a_handler_that_the_cell_sets_stays_itself(kernel: Kernel) -> None:
    """A variable here is still the logger's handler; one that the cell removed is gone."""
    assert kernel.run(
        RESET + "log = logging.getLogger('two.handlers'); log.propagate = False\n"
        "one, two = logging.StreamHandler(sys.stderr), logging.StreamHandler(sys.stdout)\n"
        "log.addHandler(one); log.addHandler(two); two.setLevel(30)"
    ).ok
    assert kernel.run(
        "%%mecapy --quiet\nimport logging\nof = logging.getLogger('two.handlers')\n"
        "of.handlers[1].setLevel(40)\nof.removeHandler(of.handlers[0])\ndel of"
    ).ok
    assert kernel.value("log.handlers == [two], two.level") == "(True, 40)"


def test_our_own_requests_are_not_logged(kernel: Kernel) -> None:
    """A notebook that logs everything, urllib3 included, sees its own messages alone."""
    assert kernel.run(
        RESET + "logging.basicConfig(level=1, stream=sys.stdout, force=True)\n"
        "logging.getLogger('asyncio').setLevel(30)"
    ).ok
    ran = kernel.run("%%mecapy --quiet\nimport logging\nlogging.debug('mine')")
    assert ran.ok and ran.stdout == "DEBUG:root:mine\n", ran
    kernel.run(RESET)


def test_attributes_of_a_logger_travel(kernel: Kernel) -> None:
    """There and back."""
    assert kernel.run(RESET + "logging.getLogger('with.more').unit = {'mm': 1}").ok
    cell = "log = logging.getLogger('with.more')\nseen = log.unit\nlog.count = 5\ndel log"
    assert kernel.run(f"%%mecapy --quiet\nimport logging\n{cell}").ok
    assert kernel.value("seen, logging.getLogger('with.more').count") == "({'mm': 1}, 5)"


def test_a_text_that_a_handler_fills_is_said_to_wait(kernel: Kernel) -> None:
    """Only where the cell has it; it is whole when the cell has ended."""
    assert kernel.run(
        RESET + "import io\nfrom mecapy_jupyter.cells import process_bound\n"
        "process_bound._said.discard('log')\nbuffer = io.StringIO()\n"
        "log = logging.getLogger('in_memory'); log.addHandler(logging.StreamHandler(buffer))"
    ).ok
    assert "`buffer`" not in kernel.run("%%mecapy --quiet\nlog.warning('one')").stderr
    ran = kernel.run("%%mecapy --quiet\nlog.warning('two')\nseen = buffer.getvalue()")
    assert "`buffer` does not change while the cell runs" in ran.stderr, ran
    assert kernel.value("seen, buffer.getvalue()") == r"('one\n', 'one\ntwo\n')"
    kernel.run("log.handlers.clear()")


def test_a_logger_has_no_attributes_of_its_own() -> None:
    """What Python sets itself is not sent."""
    logging.getLogger("of.this.test")
    assert "of.this.test" not in logging_state.settings()["attributes"]
