"""Bundles: the file that a generator is published as, opened with distrust.

A bundle is a zip of stored (never compressed) members: `manifest.json`,
`card.md`, `graphs/*.onnx` and, where it is signed, `signature.json`. Nothing of
it is ever unpacked to a disk, and nothing in it is code or pickle.
"""

from __future__ import annotations

import hashlib
import io
import re
import secrets
import struct
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Unpack, cast

from kohort.columns import Array, Batch
from kohort.conditions import PartialRows
from kohort.manifest import Manifest, invalid
from kohort.problem import Problem
from kohort.programs import Draws, Program, SampleSpec, check_program, load_program
from kohort.schema import Schema, TableSchema
from kohort.sessions import SessionFactory, open_session
from kohort.signatures import verify
from kohort.wishes import Limits, Wishes, spec_of

__all__ = ["Bundle", "Manifest", "load", "read_bundle"]

MANIFEST, SIGNATURE, CARD = "manifest.json", "signature.json", "card.md"
MAX_BYTES = 512 << 20
"""Of a bundle, unless a caller sets another limit."""
_MAX_MEMBERS = 64
_MAX_TEXT = 64 << 20
_MAX_DIRECTORY = 64 << 10
_NAME = re.compile(r"manifest\.json|signature\.json|card\.md|graphs/[A-Za-z0-9_-]{1,64}\.onnx")
_BROKEN_ZIP = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    EOFError,
    struct.error,
    KeyError,
)


@dataclass(frozen=True)
class Bundle:
    """A bundle whose digests hold, whose graphs are harmless and whose program is known."""

    manifest: Manifest
    trust: str
    """"verified" when a trusted key signed it, else "unverified"."""
    digest: bytes
    """SHA-256 of the file."""
    size: int
    """Bytes of the file."""
    files: Mapping[str, bytes] = field(repr=False)
    """The members but for manifest and signature."""

    @property
    def card(self) -> str:
        """The model card, Markdown."""
        return self.files[CARD].decode()

    @property
    def graphs(self) -> dict[str, bytes]:
        """The ONNX graphs by file name."""
        return {name: data for name, data in self.files.items() if name != CARD}

    def graph(self, name: str) -> bytes:
        """One ONNX graph. Raises KeyError when there is none of that name."""
        return self.graphs[name]

    def program(self, session_factory: SessionFactory | None = None) -> Program:
        """Loads the program; by default with one thread on the CPU.

        Raises:
            Problem: BUNDLE_INVALID when the runtime refuses a graph.
        """
        return load_program(self.manifest, self.graphs, session_factory or open_session)

    def sample(
        self,
        n: int | None = None,
        seed: int | None = None,
        start: int = 0,
        **wishes: Unpack[Wishes],
    ) -> Any:
        """Units [start, start + n): the rows that a server would send for this seed.

        Args:
            n: how many units (rows, or patients where the generator models patients); or
                give `augmentation_factor`.
            seed: any int64; drawn when None.
            start: the first unit.
            wishes: see `kohort.wishes.Wishes`: conditions, rebalance, temperature,
                top_p, max_attempts, augmentation_factor.

        Returns:
            A DataFrame; without pandas a dict of `Array` by column. With several
            tables a dict of these by table.

        Raises:
            Problem: UNIT_OUT_OF_RANGE; CONDITION_UNSUPPORTED, INVALID_REQUEST or
                UNKNOWN_COLUMN, and CONDITION_UNSATISFIED where a unit met the conditions
                in none of its attempts.
        """
        factor = wishes.pop("augmentation_factor", None)
        if (n is None) == (factor is None):
            raise ValueError("say how many: either n or augmentation_factor")
        count = self.augmented(factor) if n is None and factor is not None else n or 0
        seed = secrets.randbits(63) if seed is None else seed
        return self._sample(spec_of(seed, **cast(Limits, wishes)), start, count)

    def complete(self, rows: Any, seed: int | None = None, start: int = 0, **limits: Unpack[Limits]) -> Any:
        """Rows with their open (null) cells filled; all others come back exactly.

        Args:
            rows: a DataFrame, an Arrow table, a dict of `Array` or the path of a CSV file, any
                columns of the model.
            seed: any int64; drawn when None.
            start: the unit of the first row.
            limits: see `kohort.wishes.Limits`.

        Returns:
            As `sample`.

        Raises:
            Problem: as `sample`; CONDITION_UNSUPPORTED where the model cannot complete rows.
        """
        seed = secrets.randbits(63) if seed is None else seed
        partial = self.partial(rows, start)
        return self._sample(spec_of(seed, **limits, partial=partial), start, partial.row_count)

    def partial(self, rows: Any, start: int = 0) -> PartialRows:
        """Rows to complete in this model's columns, from unit `start` on; see `complete`."""
        from kohort.partial import read_partial

        schema = Schema(tuple(table.with_columns(table.emitted) for table in self.manifest.schema))
        return read_partial(rows, schema, start)

    def augmented(self, factor: float) -> int:
        """How many units are `factor` for each training row.

        Raises:
            Problem: INVALID_REQUEST; CONDITION_UNSUPPORTED where the bundle does not say how many
                rows it learned from.
        """
        training = self.manifest.lineage.get("training")
        rows = training.get("rows") if isinstance(training, dict) else None
        if not 0 < factor <= 1000:
            raise Problem.at("INVALID_REQUEST", "augmentation_factor", "must be above 0 and at most 1000")
        if type(rows) is not int or rows < 1:
            raise Problem.at(
                "CONDITION_UNSUPPORTED", "augmentation_factor", "the bundle does not say how many rows it saw"
            )
        return max(1, round(factor * rows))

    def _sample(self, spec: SampleSpec, start: int, count: int) -> Any:
        program = self.program()
        draws = Draws()
        tables = collect(program, spec, start, count, draws)
        if find_spec("pandas") is None:
            results: dict[str, Any] = dict(tables)
        else:
            results = {t.name: self._frame(t, tables[t.name], spec.seed) for t in program.schema}
            for frame in results.values():
                frame.attrs["kohort"]["acceptance_rate"] = count / draws.drawn if draws.drawn else 1.0
        return results if len(results) > 1 else next(iter(results.values()))

    def _frame(self, table: TableSchema, arrays: Mapping[str, Array], seed: int) -> Any:
        from kohort.frames import to_frame

        frame = to_frame(table, arrays)
        digest = self.manifest.content_digest.hex()
        frame.attrs["kohort"] = {"synthetic": True, "content_digest": digest, "seed": seed}
        return frame


def load(
    path: str | Path, trusted_keys: Iterable[bytes | str] = (), require_signature: bool = False
) -> Bundle:
    """Opens a bundle file for sampling on this machine.

    Args:
        path: the file.
        trusted_keys: Ed25519 public keys, raw (32 bytes) or base64.
        require_signature: refuse what none of them signed, instead of warning.

    Raises:
        Problem: see `read_bundle`.
        OSError: the file cannot be read.
    """
    bundle = read_bundle(path, trusted_keys, require_signature=require_signature)
    if bundle.trust != "verified":
        warnings.warn("no trusted key signed this bundle: trust = unverified", UserWarning, stacklevel=2)
    return bundle


def read_bundle(
    source: str | Path | bytes,
    trusted_keys: Iterable[bytes | str] = (),
    *,
    require_signature: bool = False,
    max_bytes: int = MAX_BYTES,
) -> Bundle:
    """Reads a bundle and checks all of it.

    Raises:
        Problem: BUNDLE_INVALID (not a bundle, a digest or signature that does not
            hold, a graph that does not fit), LIMIT_EXCEEDED, OPERATOR_FORBIDDEN,
            PROGRAM_UNKNOWN, BUNDLE_UNTRUSTED.
        OSError: the file cannot be read.
    """
    if isinstance(source, bytes):
        data = source
    else:
        _check_size(Path(source).stat().st_size, max_bytes)
        data = Path(source).read_bytes()
    _check_size(len(data), max_bytes)
    files = _members(data)
    manifest_bytes = files.pop(MANIFEST, None)
    signature = files.pop(SIGNATURE, None)
    if manifest_bytes is None or CARD not in files:
        raise invalid("bundle", "holds no manifest or no card")
    try:
        files[CARD].decode()
    except UnicodeDecodeError:
        raise invalid(CARD, "is not UTF-8") from None
    manifest = Manifest.from_bytes(manifest_bytes)
    _check_digests(manifest, files)
    trusted = signature is not None and verify(manifest_bytes, signature, trusted_keys)
    if require_signature and not trusted:
        raise Problem("BUNDLE_UNTRUSTED", "no trusted key signed this bundle")
    check_program(manifest, {name: data for name, data in files.items() if name != CARD})
    return Bundle(
        manifest, "verified" if trusted else "unverified", hashlib.sha256(data).digest(), len(data), files
    )


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise Problem.at("LIMIT_EXCEEDED", "bundle", f"is larger than {max_bytes} bytes")


def _members(data: bytes) -> dict[str, bytes]:
    """Every member by name; stored, so that none is larger than the file itself."""
    _check_directory(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries, len(data))
            return {entry.filename: archive.read(entry) for entry in entries}
    except _BROKEN_ZIP:
        raise invalid("bundle", "is no readable zip file") from None


def _check_directory(data: bytes) -> None:
    """Refuses a zip that ends otherwise than bundles do, before anything is made of its entries.

    A directory of millions of entries would fill the memory. Layout: APPNOTE.TXT 4.3.16, and 4.3.15 for
    the locator of a second end that would count instead.
    """
    end, locator = data[-22:], data[-42:-38]
    if len(end) < 22 or end[:4] != b"PK\5\6" or end[20:] != b"\0\0" or locator == b"PK\6\7":
        raise invalid("bundle", "is no readable zip file")
    if int.from_bytes(end[12:16], "little") > _MAX_DIRECTORY:
        raise invalid("bundle", "has too many members, or one twice")


def _check_entries(entries: list[zipfile.ZipInfo], size: int) -> None:
    names = [entry.filename for entry in entries]
    if len(names) > _MAX_MEMBERS or len(set(names)) != len(names):
        raise invalid("bundle", "has too many members, or one twice")
    if not all(_NAME.fullmatch(name) for name in names):
        raise invalid("bundle", "has a member of a name that is not allowed")
    if any(e.compress_type != zipfile.ZIP_STORED or e.file_size != e.compress_size for e in entries):
        raise invalid("bundle", "has a compressed member")
    # Members that overlap would add up to more than the file.
    if sum(entry.file_size for entry in entries) > size:
        raise invalid("bundle", "has members larger than itself")
    if any(e.file_size > _MAX_TEXT for e in entries if not e.filename.startswith("graphs/")):
        raise invalid("bundle", "has a manifest or card that is too large")


def _check_digests(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    if set(files) != set(manifest.files):
        raise invalid("manifest.files", "does not name exactly the members of the bundle")
    for name, data in files.items():
        entry = manifest.files[name]
        if entry["size"] != len(data) or entry["sha256"] != hashlib.sha256(data).hexdigest():
            raise invalid(name, "does not have the digest that the manifest names")


def collect(
    program: Program, spec: SampleSpec, start: int, count: int, draws: Draws | None = None
) -> dict[str, dict[str, Array]]:
    """The cells of units [start, start + count): by table and column."""
    parts: dict[str, list[Batch]] = {table.name: [] for table in program.schema}
    for batch in program.units(spec, start, count, draws):
        parts[batch.table].append(batch)
    return {table.name: _join(table, parts[table.name]) for table in program.schema}


def _join(table: TableSchema, batches: list[Batch]) -> dict[str, Array]:
    if not batches:
        return {column.name: Array.empty(column.storage) for column in table.columns}
    return {c.name: Array.concat([b.arrays[c.name] for b in batches]) for c in table.columns}
