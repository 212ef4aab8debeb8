"""Sealing: loose outcomes become Parquet parts of up to 256 trials, and their small files go.

Order makes it crash-proof: what was measured first, outcomes last, then the small files. Whatever
dies in between leaves a trial loose, or loose and sealed; readers drop the double, and the next
sealing removes the left-overs. Sealers take turns, which spares most doubles; readers drop the
rest.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lars_sweep.errors import DamagedFile
from lars_sweep.outcomes.loose import loose_ids, read_loose
from lars_sweep.outcomes.store import concat_unique, is_broken, read_part, sealed_ids, to_tables
from lars_sweep.outcomes.tables import TableName
from lars_sweep.rundir import claims, publish
from lars_sweep.rundir.causes import Cause
from lars_sweep.rundir.failpoints import failpoint
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.records import set_aside
from lars_sweep.rundir.turns import turn

logger = logging.getLogger(__name__)

SEAL_EVERY = 32
"""Finished trials that a worker collects before: few, so that its next one need not wait long, and
that a run's first trials cost what its later ones do."""
PART_TRIALS = 256
"""Of a full part; sealing all merges smaller ones."""
ORDER: tuple[TableName, ...] = ("noise", "layers", "curves", "outcomes")
"""In which a part's tables are written; they are removed in the reverse."""


def seal(run: RunDir, trial_ids: Sequence[str], *, wait: bool = True) -> bool:
    """Write these loose outcomes into one part, then remove their small files.

    Ids that are not loose (any more) are passed over.

    Args:
        run: the run directory.
        trial_ids: at most PART_TRIALS.
        wait: False: do nothing, and return False, if another process is sealing.
    """
    with sealing(run, wait=wait) as is_ours:
        if is_ours:
            _seal(run, trial_ids)
    return is_ours


def seal_all(run: RunDir) -> None:
    """Seal every loose outcome, merge small parts, remove what a crash left behind.

    Safe beside running workers: only finished trials are touched. Outcomes that cannot be read are
    set aside; their trials are open again.
    """
    with sealing(run):
        _seal_loose(run)
        _merge_small_parts(run)


def sealing(run: RunDir, *, wait: bool = True) -> AbstractContextManager[bool]:
    """The turn of the one process that changes parts; yields whether it is ours."""
    return turn(run.path / "parts" / "turn.json", wait=wait)


def _seal(run: RunDir, trial_ids: Sequence[str]) -> None:
    outcomes = []
    for trial_id in trial_ids:
        try:
            outcome = read_loose(run.outcome(trial_id))
        except DamagedFile:
            _set_aside_loose(run, trial_id)
        else:
            outcomes += [outcome] if outcome is not None else []
    if outcomes:
        write_part(run, to_tables(outcomes))
        for outcome in outcomes:
            # A failed trial may be tried again, and go on from what it had.
            failed = outcome.row["status"] == "failed"
            _remove_small_files(run, outcome.trial_id, keep_checkpoints=failed)


def _seal_loose(run: RunDir) -> None:
    sealed = {i for name in _parts(run) for i in sealed_ids(run.parts("outcomes") / name) or ()}
    loose = loose_ids(run)
    for trial_id in loose:
        if trial_id in sealed:
            _remove_small_files(run, trial_id)
    waiting = [trial_id for trial_id in loose if trial_id not in sealed]
    for start in range(0, len(waiting), PART_TRIALS):
        _seal(run, waiting[start : start + PART_TRIALS])
    for trial_id in set(claims.holdings(run.claims)) & sealed:
        _remove_small_files(run, trial_id)


def set_aside_unreadable(run: RunDir) -> list[Path]:
    """Move damaged outcomes and truncated parts out of the way; returns where to.

    Their trials run again. A part is one file in each table; if one of them is broken, all go.
    """
    moved = []
    for trial_id in loose_ids(run):
        try:
            read_loose(run.outcome(trial_id))
        except DamagedFile:
            moved.append(_set_aside_loose(run, trial_id))
    for name in sorted({name for table in ORDER for name in publish.names(run.parts(table))}):
        files = {table: run.parts(table) / name for table in ORDER}
        broken = [file for file in files.values() if is_broken(file)]
        if not broken:
            continue
        for table in reversed(ORDER):  # outcomes first: what is left is then no outcome
            if files[table].exists():
                moved.append(set_aside(run, files[table]))
        logger.warning(
            "%s cannot be read: set aside in %s, its trials run again", broken[0], run.set_aside
        )
    return moved


def _set_aside_loose(run: RunDir, trial_id: str) -> Path:
    """Move a damaged outcome away and open its trial again: its claim stood until now."""
    path = run.outcome(trial_id)
    attempt = claims.attempts(run.claims, trial_id)
    claim = claims.read_claim(run.claims, trial_id, attempt)
    if claim is not None:  # first: after a crash here the outcome is still found damaged
        claims.release(run.claims, claim, "its outcome was damaged", cause=Cause.DISK)
    aside = set_aside(run, path)
    logger.warning("%s is damaged: set aside as %s, its trial runs again", path, aside)
    return aside


def _parts(run: RunDir) -> list[str]:
    return publish.names(run.parts("outcomes"))


def write_part(run: RunDir, tables: Mapping[TableName, pa.Table]) -> None:
    """Publish a part; tables without rows get no file."""
    name = f"{uuid.uuid4().hex[:12]}.parquet"
    for table in ORDER:
        content = tables.get(table)
        if content is not None and (table == "outcomes" or content.num_rows):
            write = partial(pq.write_table, content, compression="zstd")
            publish.publish_file(run.parts(table) / name, write, written="part-written")
    failpoint("part-published")


def _remove_small_files(run: RunDir, trial_id: str, *, keep_checkpoints: bool = False) -> None:
    run.outcome(trial_id).unlink(missing_ok=True)
    for attempt in range(claims.attempts(run.claims, trial_id), 0, -1):
        run.attempt_log(trial_id, attempt).unlink(missing_ok=True)
    claims.drop(run.claims, trial_id)
    if not keep_checkpoints:
        run.drop_checkpoints(trial_id)


def _merge_small_parts(run: RunDir) -> None:
    """Merge parts that are not full into parts of up to PART_TRIALS."""
    batches: list[list[str]] = []
    room = 0
    for name in _parts(run):
        count = len(sealed_ids(run.parts("outcomes") / name) or ())
        broken = any(is_broken(run.parts(table) / name) for table in ORDER[:-1])
        if not 0 < count < PART_TRIALS or broken:
            continue  # `resume` sets broken ones aside
        if count > room:
            batches.append([])
            room = PART_TRIALS
        batches[-1].append(name)
        room -= count
    for batch in batches:
        if len(batch) > 1:
            _merge(run, batch)


def _merge(run: RunDir, parts: Sequence[str]) -> None:
    tables: dict[TableName, pa.Table] = {}
    for table in ORDER:
        paths = [run.parts(table) / name for name in parts]
        try:
            pieces = [read_part(p) for p in paths if table == "outcomes" or p.exists()]
        except FileNotFoundError:  # another sealer was faster
            return
        tables[table] = concat_unique([to_tables([])[table], *pieces])
    write_part(run, tables)
    for table in reversed(ORDER):
        for name in parts:
            (run.parts(table) / name).unlink(missing_ok=True)
