"""Samples of a bundle file as the batches that a server would send."""

from __future__ import annotations

from collections.abc import Iterator

from kohort.batching import rebatch
from kohort.bundle import Bundle
from kohort.programs import SampleSpec
from kohort.resources import Privacy, Provenance
from kohort.sampling import SampleBatch


def sample_bundle(bundle: Bundle, name: str, n: int, seed: int, start: int) -> Iterator[SampleBatch]:
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
    provenance = Provenance(name, digest, seed, start, n, program.fingerprint, privacy)
    for batch in rebatch(program.units(SampleSpec(seed), start, n)):
        yield SampleBatch(batch, program.schema, provenance)
