"""Samples of a bundle file as the batches that a server would send."""

from __future__ import annotations

from collections.abc import Iterator

from kohort.batching import rebatch
from kohort.bundle import Bundle
from kohort.programs import Draws, SampleSpec
from kohort.resources import Privacy, Provenance
from kohort.sampling import SampleBatch, Tally


def sample_bundle(bundle: Bundle, name: str, n: int, spec: SampleSpec, start: int) -> Iterator[SampleBatch]:
    """Units [start, start + n) of a bundle, batch by batch."""
    program = bundle.program()
    said = bundle.manifest.privacy
    privacy = Privacy(
        differentially_private=bool(said.get("differentially_private", False)),
        epsilon=said.get("epsilon"),
        delta=said.get("delta"),
        min_patients_per_value=int(said.get("min_patients_per_value", 0)),
        statement=str(said.get("statement", "")),
    )
    digest = bundle.manifest.content_digest.hex()
    provenance = Provenance(name, digest, spec.seed, start, n, program.fingerprint, privacy)
    tally, draws = Tally(), Draws()
    for batch in rebatch(program.units(spec, start, n, draws)):
        yield SampleBatch(batch, program.schema, provenance, tally)
        tally.units, tally.drawn = batch.next_unit - start, draws.drawn
