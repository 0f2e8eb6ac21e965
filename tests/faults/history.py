"""What the rows went through, written down by PostgreSQL itself, and what must be true of it
whatever was killed.

A trigger notes every change of a task's state or attempt, so no component can forget or embellish
one.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

FINAL = ("completed", "failed", "cancelled")

TRIGGER = """
CREATE TABLE IF NOT EXISTS history (n bigserial PRIMARY KEY,
    at timestamptz DEFAULT clock_timestamp(), task uuid NOT NULL, was text, now text NOT NULL,
    was_attempt int, attempt int NOT NULL, worker text, changed_outcome bool NOT NULL);
CREATE OR REPLACE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO history (task, now, attempt, changed_outcome)
            VALUES (NEW.id, NEW.state, NEW.attempt, false);
    ELSIF OLD.state IS DISTINCT FROM NEW.state OR OLD.attempt IS DISTINCT FROM NEW.attempt
            OR OLD.outcome::text IS DISTINCT FROM NEW.outcome::text THEN
        INSERT INTO history (task, was, now, was_attempt, attempt, worker, changed_outcome) VALUES
            (NEW.id, OLD.state, NEW.state, OLD.attempt, NEW.attempt, NEW.worker,
             OLD.outcome::text IS DISTINCT FROM NEW.outcome::text);
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER note AFTER INSERT OR UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION note();
"""

STEPS = {
    ("blocked", "queued"),
    ("blocked", "failed"),
    ("blocked", "cancelled"),
    ("queued", "running"),
    ("running", "queued"),
    ("queued", "cancelled"),
    *(("running", end) for end in FINAL),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One change of one row. `was` None: it was made."""

    was: str | None
    now: str
    was_attempt: int | None
    attempt: int
    changed_outcome: bool


BIRTHS = [Step(None, state, None, 0, False) for state in ("queued", "blocked")]


def check(steps: list[Step]) -> None:
    """That a finished task's life was a legal one: one birth, one end, every attempt counted once,
    nothing after the end.
    """
    assert steps, "no such task was ever made"
    assert steps[0] in BIRTHS, steps
    attempt = 0
    for before, step in itertools.pairwise(steps):
        assert (step.was, step.was_attempt) == (before.now, before.attempt), (
            f"a step that does not follow: {steps}"
        )
        assert (step.was, step.now) in STEPS, f"a step that there is not: {steps}"
        attempt += step.now == "running"
        assert step.attempt == attempt, f"an attempt that was not counted, or twice: {steps}"
        assert step.changed_outcome == (step.now in FINAL), (
            f"an outcome that changed on the way: {steps}"
        )
    assert steps[-1].now in FINAL, f"not at an end: {steps}"
