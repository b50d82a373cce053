"""The parser process: bytes of a stranger become canonical tables. Started by `server.parsing`.

One question on standard input, one answer on standard output, both JSON; it
dies with its parent, and of errors only what holds no cell goes up.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import struct
import sys
import traceback
from collections.abc import Iterator, Mapping
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from server.processes import die_with_parent, give_way, is_full, vanish, watch_lifeline

if TYPE_CHECKING:
    from kohort.schema import Schema
    from tables.infer import Inferred
    from tables.tableset import Table, TableSet

_DECLARED = "declared.json"
_LENGTH = struct.Struct("<I")


def main() -> None:
    """Answers the question on the first line of standard input."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    line = sys.stdin.buffer.readline()
    if not line:
        vanish()
    question = json.loads(line)
    die_with_parent(question["parent"])
    give_way()
    watch_lifeline(sys.stdin.buffer, lambda _: None, vanish)
    _limit(question["memory_bytes"])
    out.write(json.dumps(_answer(question)).encode())
    out.flush()
    os._exit(0)


def _limit(memory_bytes: int) -> None:
    """Bounds what the tables may take, on top of what the libraries that read them do."""
    # Pools and thread arenas reserve address space that they never touch.
    os.environ.update(ARROW_DEFAULT_MEMORY_POOL="system", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    os.environ["MALLOC_ARENA_MAX"] = "2"
    # pyarrow would load pandas by itself: more than all else that is loaded, and of no use here.
    sys.meta_path.insert(0, _WithoutPandas())
    # Before the limit: an import that fails half-way looks like a defect.
    for name in ("tables.readers", "tables.infer", "tables.store", "kohort.wire"):
        importlib.import_module(name)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)


class _WithoutPandas(MetaPathFinder):
    """Finds no pandas, installed or not."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Leaves all else to the other finders."""
        if fullname == "pandas":
            raise ModuleNotFoundError("the parser reads without pandas", name=fullname)


def _answer(question: Mapping[str, Any]) -> dict[str, Any]:
    from kohort.problem import Problem

    try:
        return parse(question) if question["task"] == "parse" else infer_again(question)
    except Problem as problem:
        return {"problem": _problem_to_json(problem)}
    except MemoryError:
        limit = question["memory_bytes"] >> 20
        return {
            "problem": _problem_to_json(
                Problem("LIMIT_EXCEEDED", f"the tables need more than {limit} MiB of memory to be read")
            )
        }
    except OSError as error:
        if is_full(error):
            full = Problem("STORAGE_FULL", "the disk has no room left", retry_after=30.0)
            return {"problem": _problem_to_json(full)}
        return _defect(error)
    except Exception as error:
        return _defect(error)


def parse(question: Mapping[str, Any]) -> dict[str, Any]:
    """Reads the spooled bytes, infers, and writes the canonical tables; see `server.parsing.Upload`."""
    from kohort.schema import Schema
    from tables.infer import infer, physicalise_all
    from tables.physical import canonical_tables
    from tables.store import tableset_digest, write_tableset

    declared = Schema.from_json(question["declared"])
    tables = canonical_tables(_read(question, declared))
    known = {table.name: table for table in declared}
    declared = Schema(tuple(known.get(table.schema.name, table.schema) for table in tables))
    inferred = infer(tables, declared, None, min_patients=question["min_patients"])
    physicalise_all(tables, inferred.schema)  # refuses cells that do not fit their kind, bounds or levels
    folder = Path(question["folder"])
    write_tableset(folder, tables)
    (folder / _DECLARED).write_text(json.dumps(declared.to_json()), encoding="utf-8")
    return {
        **_inferred_to_json(inferred),
        "row_counts": {table.schema.name: table.num_rows for table in tables},
        "size_bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        "digest": tableset_digest(tables).hex(),
        "has_lineage": _write_lineage(question, tables, inferred.schema),
    }


def infer_again(question: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of stored tables under overrides; see `server.parsing.infer_schema`."""
    from kohort.problem import Problem
    from kohort.schema import Schema, SchemaOverrides
    from tables.identifiers import check_trainable
    from tables.infer import infer, physicalise_all
    from tables.store import read_tableset

    folder = Path(question["folder"])
    declared = Schema.from_json(json.loads((folder / _DECLARED).read_text(encoding="utf-8")))
    overrides = SchemaOverrides.from_json(question["overrides"])
    try:
        tables = read_tableset(folder)
    except Problem as problem:  # they were read when they were stored: no fault of who asks now
        raise Problem("INTERNAL", "the stored tables are damaged") from problem
    inferred = infer(tables, declared, overrides, min_patients=question["min_patients"])
    if question["trainable"]:
        check_trainable(inferred)
        physicalise_all(tables, inferred.schema)  # refused now rather than by the job
    return _inferred_to_json(inferred)


def _read(question: Mapping[str, Any], declared: Schema) -> TableSet:
    from tables.readers import Limits, read_file
    from tables.tableset import TableSet

    limits = Limits(max_rows=question["max_rows"], max_columns=question["max_columns"])
    if question["format"] == "columns":
        return _read_columns(Path(question["files"][""]), declared, question, limits)
    known = {table.name: table for table in declared}
    return TableSet(
        {
            name: read_file(Path(path), question["format"], name, known.get(name), limits)
            for name, path in question["files"].items()
        }
    )


def _read_columns(path: Path, declared: Schema, question: Mapping[str, Any], limits: Any) -> TableSet:
    """The tables of a spooled stream of dictionaries and record batches."""
    from kohort.columns import Array, ContentDigest
    from kohort.problem import Problem
    from kohort.schema import Schema
    from kohort.v1 import dataset_pb2
    from kohort.wire import Dictionaries, check_digest, decode_batch
    from tables.tableset import Table, TableSet

    dictionaries = Dictionaries()
    parts: dict[str, dict[str, list[Array]]] = {t.name: {c.name: [] for c in t.columns} for t in declared}
    digests = {t.name: ContentDigest(Schema((t,))) for t in declared}
    rows = dict.fromkeys(parts, 0)
    for message in _messages(path):
        request = dataset_pb2.UploadDatasetRequest.FromString(message)
        if request.WhichOneof("part") == "dictionary":
            dictionaries.add(request.dictionary)
            continue
        table = declared.table(request.batch.table)
        batch = decode_batch(request.batch, table, dictionaries)
        check_digest(batch, request.batch.digest)
        digests[table.name].add(batch)
        rows[table.name] += batch.row_count
        limits.check_rows(table.name, rows[table.name])
        for name, array in batch.arrays.items():
            parts[table.name][name].append(array)
    tables: dict[str, Table] = {}
    for table in declared:
        if not rows[table.name]:
            raise Problem.at("EMPTY_TABLE", table.name, "has no rows")
        expected = question["digests"].get(table.name)
        if expected is not None and digests[table.name].digest().hex() != expected:
            raise Problem.at("DIGEST_MISMATCH", table.name, "the rows do not have the declared digest")
        tables[table.name] = Table(table, {n: Array.concat(a) for n, a in parts[table.name].items()})
    return TableSet(tables)


def _messages(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while header := file.read(_LENGTH.size):
            yield file.read(_LENGTH.unpack(header)[0])


def _write_lineage(question: Mapping[str, Any], tables: TableSet, schema: Schema) -> bool:
    from server.lineage import load_key, patient_hashes

    patients = {patient for table in tables for patient in _patients(table, schema)}
    if not patients or not question["patient_key"] or not question["lineage"]:
        return False
    key = load_key(Path(question["patient_key"]))
    Path(question["lineage"]).write_bytes(patient_hashes(key, question["tenant"], patients))
    return True


def _patients(table: Table, schema: Schema) -> Iterator[str]:
    """The distinct subject keys of a table as text; none without a subject key."""
    import numpy as np

    key = schema.table(table.schema.name).subject_key
    if not key:
        return
    array = table.arrays[key]
    valid = np.flatnonzero(array.is_valid())
    _, first = np.unique(array.take(valid).factorize(), return_index=True)
    yield from map(str, array.take(valid[first]).to_python())


def _inferred_to_json(inferred: Inferred) -> dict[str, Any]:
    return {"schema": inferred.schema.to_json(), "findings": [f.to_json() for f in inferred.findings]}


def _problem_to_json(problem: Any) -> dict[str, Any]:
    return {
        "reason": problem.reason,
        "message": problem.message,
        "violations": [{"field": v.field, "description": v.description} for v in problem.violations],
        "metadata": problem.metadata,
        "retry_after": problem.retry_after,
    }


def _defect(error: BaseException) -> dict[str, Any]:
    frames = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-12:]]
    return {"exception": type(error).__name__, "frames": frames}


if __name__ == "__main__":
    main()
