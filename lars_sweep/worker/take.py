"""Which trial a worker runs next: unclaimed ones first, then what others left, then a new point."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lars_sweep.outcomes.loose import loose_ids
from lars_sweep.outcomes.store import sealed_ids
from lars_sweep.rundir import claims, publish
from lars_sweep.rundir.claims import Claim, Holding
from lars_sweep.rundir.layout import RunDir
from lars_sweep.study.plan import Plan, QueuedTrial


class TrialSource:
    """Takes trials for one worker. Nothing here is shared; the directory decides."""

    def __init__(
        self, run: RunDir, plan: Plan, worker_id: str, *, is_dead: Callable[[Claim], bool]
    ) -> None:
        """Args: ``is_dead`` says whether the holder of a claim will never come back to it."""
        self._run = run
        self._plan = plan
        self._worker_id = worker_id
        self._is_dead = is_dead
        self._queue: Sequence[QueuedTrial] = plan.queue
        self._cursor = 0
        self._held: Mapping[str, Holding] = {}
        self._sealed: set[str] = set()
        self._parts_seen: set[str] = set()

    def next(self) -> tuple[QueuedTrial, Claim] | None:
        """Take a trial; None when none is to be had now."""
        while True:
            self._refresh_queue()
            taken = self._take_fresh() or self._take_over()
            if taken is not None:
                return taken
            if not self._ask():
                return None

    def all_finished(self) -> bool:
        """Whether every trial of the run has an outcome."""
        self._refresh_queue()
        loose = set(loose_ids(self._run))  # first: what is sealed meanwhile is then in a part
        self._refresh_sealed()
        finished = self._sealed | loose
        known = {queued.trial_id for queued in self._queue}
        return len(self._queue) >= self._plan.total_trials and known <= finished

    @property
    def sealed(self) -> set[str]:
        return self._sealed

    def _refresh_queue(self) -> None:
        if self._plan.is_adaptive:
            from lars_sweep.study.asked import known_queue

            self._queue = known_queue(self._run, self._plan)
            self._cursor = 0

    def _ask(self) -> bool:
        if not self._plan.is_adaptive:
            return False
        from lars_sweep.study.ask import ask  # Optuna loads only where it is needed

        return ask(self._run, self._plan)

    def _take_fresh(self) -> tuple[QueuedTrial, Claim] | None:
        """The first trial in the queue that nobody has taken.

        Each worker walks the queue once. Where another one was faster the directory is listed, so
        that a thousand workers do not try every name in turn.
        """
        while self._cursor < len(self._queue):
            queued = self._queue[self._cursor]
            self._cursor += 1
            if queued.trial_id in self._held or queued.trial_id in self._sealed:
                continue
            claim = claims.take(self._run.claims, queued.trial_id, 1, self._worker_id)
            if claim is None:
                self._held = claims.holdings(self._run.claims)
            elif not self._was_sealed(claim):
                return queued, claim
        return None

    def _take_over(self) -> tuple[QueuedTrial, Claim] | None:
        """A trial whose holder gave it back or is dead."""
        self._held = claims.holdings(self._run.claims)
        for queued in self._queue:
            holding = self._held.get(queued.trial_id)
            if holding is None or self._run.outcome(queued.trial_id).exists():
                continue
            if not (holding.released or self._holder_is_dead(queued.trial_id, holding.attempt)):
                continue
            attempt = holding.attempt + 1
            claim = claims.take(self._run.claims, queued.trial_id, attempt, self._worker_id)
            if claim is not None and not self._was_sealed(claim):
                return queued, claim
        return None

    def _holder_is_dead(self, trial_id: str, attempt: int) -> bool:
        claim = claims.read_claim(self._run.claims, trial_id, attempt)
        return claim is not None and self._is_dead(claim)

    def _was_sealed(self, claim: Claim) -> bool:
        """Undo a claim whose trial was finished and sealed since the directory was read.

        Sealing publishes the part before it removes the claim, so a claim that succeeded on a
        finished trial always finds that part here.
        """
        self._refresh_sealed()
        if claim.trial_id in self._sealed:
            claims.abandon(self._run.claims, claim)
            return True
        return False

    def _refresh_sealed(self) -> None:
        directory = self._run.parts("outcomes")
        names: list[str] = []
        while names != (names := publish.names(directory)):  # again if parts were merged meanwhile
            for name in set(names) - self._parts_seen:
                ids = sealed_ids(directory / name)
                if ids is not None:
                    self._parts_seen.add(name)
                    self._sealed.update(ids)
