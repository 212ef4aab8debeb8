"""Which trial a worker runs next: unclaimed ones first, then what others left, then a new point."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lars_sweep.outcomes.loose import loose_ids
from lars_sweep.outcomes.store import sealed_ids
from lars_sweep.rundir import claims, publish
from lars_sweep.rundir.claims import Claim, Holding
from lars_sweep.rundir.layout import RunDir
from lars_sweep.study.plan import Plan, QueuedTrial
from lars_sweep.worker.fate import Fate, Fates

MISSES_PER_LISTING = 32
"""A look at one name is cheap, a listing of some thousand is not."""


class TrialSource:
    """Takes trials for one worker. Nothing here is shared; the directory decides."""

    def __init__(
        self,
        run: RunDir,
        plan: Plan,
        worker_id: str,
        *,
        fates: Callable[[], Fates],
        died: Callable[[Fate], None] = lambda fate: None,
    ) -> None:
        """Begin.

        Args:
            run: the run directory.
            plan: its plan.
            worker_id: who takes the trials.
            fates: makes the judge of one pass over all claims.
            died: told of each attempt that was found dead here, and by nobody before.
        """
        self._run = run
        self._plan = plan
        self._worker_id = worker_id
        self._fates = fates
        self._died = died
        self._may_own = True
        self._queue: Sequence[QueuedTrial] = plan.queue
        self._cursor = 0
        self._held: Mapping[str, Holding] = {}
        self._sealed: set[str] = set()
        self._parts_seen: set[str] = set()

    def next(self) -> tuple[QueuedTrial, Claim] | None:
        """Take a trial; None when none is to be had now."""
        while True:
            self._refresh_queue()
            taken = self._take_own() or self._take_fresh() or self._take_over()
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

    def has_work(self) -> bool:
        """Whether `next` would find a trial now; takes none."""
        self._refresh_queue()
        if self._plan.is_adaptive and len(self._queue) < self._plan.total_trials:
            return True
        self._refresh_sealed()
        self._held = claims.holdings(self._run.claims)
        fates = self._fates()
        loose = set(loose_ids(self._run))
        for queued in self._queue:
            if queued.trial_id in self._sealed or queued.trial_id in loose:
                continue
            holding = self._held.get(queued.trial_id)
            if holding is None or fates.of(queued.trial_id, holding).free:
                return True
        return False

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

        Each worker walks the queue once. Where others were faster many times in a row the
        directory is listed, so that a thousand workers do not try every name in turn.
        """
        misses = 0
        while self._cursor < len(self._queue):
            queued = self._queue[self._cursor]
            self._cursor += 1
            if queued.trial_id in self._held or queued.trial_id in self._sealed:
                continue
            claim = claims.take(self._run.claims, queued.trial_id, 1, self._worker_id)
            if claim is None:
                misses += 1
                if misses % MISSES_PER_LISTING == 0:
                    self._held = claims.holdings(self._run.claims)
            elif not self._was_sealed(claim):
                return queued, claim
        return None

    def _take_own(self) -> tuple[QueuedTrial, Claim] | None:
        """What this job held before SLURM took it away and started it again."""
        if not self._may_own:
            return None
        self._may_own = False
        return self._take_over(own=True)

    def _take_over(self, *, own: bool = False) -> tuple[QueuedTrial, Claim] | None:
        """A trial whose holder gave it back or is dead."""
        self._held = claims.holdings(self._run.claims)
        if not self._held:
            return None
        fates = self._fates()
        for queued in self._queue:
            holding = self._held.get(queued.trial_id)
            if holding is None or self._run.outcome(queued.trial_id).exists():
                continue
            if own and not fates.is_own(queued.trial_id, holding):
                continue
            fate = fates.of(queued.trial_id, holding)
            if fate.free and (claim := self._replace(queued, holding, fate)) is not None:
                return queued, claim
        return None

    def _replace(self, queued: QueuedTrial, holding: Holding, fate: Fate) -> Claim | None:
        """The next attempt, after saying for a dead holder why its own ended."""
        directory, trial_id = self._run.claims, queued.trial_id
        if not holding.released and fate.cause is not None:
            dead = claims.read_claim(directory, trial_id, holding.attempt)
            if dead is None:
                return None
            reason = fate.reason or fate.cause
            if claims.release(directory, dead, reason, cause=fate.cause, nodes=fate.nodes):
                self._died(fate)
        claim = claims.take(directory, trial_id, holding.attempt + 1, self._worker_id)
        return None if claim is None or self._was_sealed(claim) else claim

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
            if not self._parts_seen <= set(names):  # merged, set aside, or an outcome taken back
                self._parts_seen, self._sealed = set(), set()
            for name in set(names) - self._parts_seen:
                ids = sealed_ids(directory / name)
                if ids is not None:
                    self._parts_seen.add(name)
                    self._sealed.update(ids)
