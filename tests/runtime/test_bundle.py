from __future__ import annotations

import io
import json
import re
import struct
import zipfile
import zlib
from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import kohort.bundle
from exporters.bundle import load_signing_key, pack, write_bundle, zip_stored
from exporters.card import card_text
from kohort.bundle import load, read_bundle
from kohort.columns import Batch, batch_digest
from kohort.manifest import Manifest
from kohort.problem import Problem
from kohort.programs import SampleSpec
from kohort.schema import Schema
from tests.runtime import parts, step_program

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def changed(**changes: bytes | None) -> bytes:
    """A signed bundle with members replaced, added or (None) removed."""
    files = members(parts.bundle_bytes(key=KEY))
    for name, value in changes.items():
        name = re.sub("_(json|md|onnx)$", r".\1", name.replace("__", "/"))
        files.pop(name, None)
        if value is not None:
            files[name] = value
    return zip_stored(files)


def manifest_with(**changes) -> bytes:
    value = json.loads(members(parts.bundle_bytes())["manifest.json"])
    value.update(changes)
    return changed(manifest_json=json.dumps(value).encode(), signature_json=None)


def directory_of(entries: int) -> bytes:
    """A zip that is nothing but a directory."""
    entry = b"PK\1\2" + bytes(24) + b"\1" + bytes(17) + b"a"
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, entries, entries, entries * len(entry), 0, 0)
    return entry * entries + end


HUGE = members(parts.bundle_bytes())["manifest.json"].replace(b'"rate":0.5', b'"rate":1e999')


def refused(data: bytes, **options) -> Problem:
    with pytest.raises(Problem) as caught:
        read_bundle(data, **options)
    return caught.value


def zipped(*entries: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return buffer.getvalue()


def test_what_is_written_is_read(tmp_path):
    made = parts.manifest()
    written = write_bundle(
        tmp_path / "x.kohort", made, {parts.GRAPH: parts.graph_bytes()}, card_text(made), KEY
    )
    bundle = read_bundle(tmp_path / "x.kohort", [PUBLIC])
    assert bundle.trust == "verified"
    assert bundle.manifest == written.manifest == replace(made, files=written.manifest.files)
    assert bundle.graph(parts.GRAPH) == parts.graph_bytes()
    assert bundle.card == card_text(made)
    assert (bundle.digest, bundle.size) == (written.digest, written.size)
    assert bundle.manifest.content_digest == written.content_digest
    assert [p.name for p in tmp_path.iterdir()] == ["x.kohort"]


def test_two_writes_give_equal_bytes(tmp_path):
    made = parts.manifest()
    reordered = replace(made, parameters=dict(reversed(made.parameters.items())))
    for name, manifest in (("a", made), ("b", reordered)):
        write_bundle(tmp_path / name, manifest, {parts.GRAPH: parts.graph_bytes()}, "card", KEY)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_content_digest_leaves_lineage_and_card_out():
    def digest(manifest: Manifest, card: str = "card", graph: bytes | None = None) -> bytes:
        return pack(manifest, {parts.GRAPH: graph or parts.graph_bytes()}, card)[0].content_digest

    base = digest(parts.manifest())
    assert digest(parts.manifest(lineage={"job": "jobs/9"}), "another card") == base
    assert (
        read_bundle(parts.bundle_bytes(parts.manifest(lineage={}))).manifest.content_digest
        == read_bundle(parts.bundle_bytes()).manifest.content_digest
    )
    assert digest(parts.manifest(seed=12)) != base
    assert digest(parts.manifest(), graph=parts.graph_bytes(score="Erf")) != base


def test_a_bundle_that_nobody_could_load_is_not_written(tmp_path):
    target = tmp_path / "x.kohort"
    target.write_bytes(b"before")
    with pytest.raises(Problem):
        write_bundle(target, parts.manifest(), {parts.GRAPH: b"no graph"}, "card")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x.kohort", b"before")]


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"", "bundle"),
        (b"PK\x05\x06" + bytes(10), "bundle"),
        (parts.bundle_bytes()[:-30], "bundle"),
        (parts.bundle_bytes()[:3000], "bundle"),
        (changed(card_md=b"# another card"), "card.md"),
        (changed(graphs__main_onnx=parts.graph_bytes(score="Erf")), "graphs/main.onnx"),
        (changed(graphs__main_onnx=None), "manifest.files"),
        (changed(graphs__more_onnx=parts.graph_bytes()), "manifest.files"),
        (changed(manifest_json=None), "bundle"),
        (changed(card_md=None), "bundle"),
        (changed(manifest_json=b"{}", signature_json=None), "manifest.format"),
        (changed(manifest_json=b"[" * 100_000, signature_json=None), "manifest"),
        (changed(manifest_json=b"\xff", signature_json=None), "manifest"),
        (changed(manifest_json=b"[]", signature_json=None), "manifest"),
        (changed(signature_json=b"{}"), "signature"),
        (changed(signature_json=b'{"algorithm": "none"}'), "signature"),
        (changed(signature_json=b"\xff\xfe"), "signature"),
        (manifest_with(format=2), "manifest.format"),
        (manifest_with(schema={"tables": []}), "manifest.schema"),
        (manifest_with(schema=[]), "manifest.schema"),
        (manifest_with(schema={"tables": [{"name": "t", "columns": [{"name": 5}]}]}), "manifest.schema"),
        (manifest_with(schema={"tables": [{"name": "t", "columns": []}]}), "manifest.schema"),
        (manifest_with(seed=1.5), "manifest.seed"),
        (manifest_with(seed=2**63), "manifest.seed"),
        (manifest_with(trainer=None), "manifest.trainer"),
        (manifest_with(program={"name": "single_pass"}), "manifest.program"),
        (manifest_with(program={"name": "../x", "version": 1}), "manifest.program"),
        (manifest_with(files={"card.md": 5}), "manifest.files"),
        (manifest_with(dictionaries={"people": {"sex": ["a", "a", "b"]}}), "manifest.dictionaries"),
        (manifest_with(dictionaries={"people": {"sex": ["a", "\ud800", "b"]}}), "manifest"),
        (manifest_with(trainer="\ud800"), "manifest"),
        (manifest_with(parameters={"a": 10**20}), "manifest"),
        (changed(manifest_json=HUGE, signature_json=None), "manifest"),
        (changed(card_md=b"\xff"), "card.md"),
        (manifest_with(privacy={"epsilon": "none"}), "manifest.privacy"),
        (manifest_with(privacy={"min_patients_per_value": 2**31}), "manifest.privacy"),
        (parts.bundle_bytes() + b"\0", "bundle"),
        (directory_of(30_000), "bundle"),
        (manifest_with(dictionaries={"people": ["a"]}), "manifest.dictionaries"),
        (manifest_with(findings=[{"why": "x"}]), "manifest.findings"),
        (manifest_with(privacy=None), "manifest.privacy"),
        (zipped(("../../etc/x", b""), *members(parts.bundle_bytes()).items()), "bundle"),
        (zipped(("graphs/../x.onnx", b""), *members(parts.bundle_bytes()).items()), "bundle"),
        (zipped(("/card.md", b""), *members(parts.bundle_bytes()).items()), "bundle"),
        (zipped(("graphs/a.py", b""), *members(parts.bundle_bytes()).items()), "bundle"),
        (zipped(("graphs/", b""), *members(parts.bundle_bytes()).items()), "bundle"),
        (zipped(*members(parts.bundle_bytes()).items(), method=zipfile.ZIP_DEFLATED), "bundle"),
        (zipped(("card.md", bytes(10 << 20)), method=zipfile.ZIP_DEFLATED), "bundle"),
        (zipped(*((f"graphs/g{i}.onnx", b"") for i in range(100))), "bundle"),
    ],
)
def test_damage_is_refused_where_it_is(data, place):
    problem = refused(data)
    assert problem.reason == "BUNDLE_INVALID"
    assert [v.field for v in problem.violations] == [place]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_twice_is_refused():
    assert (
        refused(zipped(*members(parts.bundle_bytes()).items(), ("card.md", b""))).reason == "BUNDLE_INVALID"
    )


def test_members_that_overlap_are_refused():
    """Many directory entries over the same bytes: the bomb that needs no compression."""
    body = bytes(100_000)
    head = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 33, zlib.crc32(body), 100_000, 100_000, 7, 0)
    data = b"PK\x03\x04" + head + b"card.md" + body
    entries = b""
    for i in range(60):
        name = f"graphs/g{i:02d}.onnx".encode()
        sizes = struct.pack("<HHHHHHIII", 20, 20, 0, 0, 0, 33, zlib.crc32(body), 100_000, 100_000)
        entries += b"PK\x01\x02" + sizes + struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, 0) + name
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 60, 60, len(entries), len(data), 0)
    problem = refused(data + entries + end)
    assert problem.reason == "BUNDLE_INVALID"
    assert "larger than itself" in problem.message


def test_any_flipped_byte_is_refused_or_harmless():
    """No single damaged byte gives another model that still reads."""
    data = parts.bundle_bytes(key=KEY)
    whole = read_bundle(data, [PUBLIC])
    random = np.random.default_rng(0)
    reasons = set()
    for place in random.integers(0, len(data), 300).tolist():
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(random.integers(0, 8))
        try:
            bundle = read_bundle(bytes(damaged), [PUBLIC])
        except Problem as problem:
            reasons.add(problem.reason)
        else:
            assert (bundle.manifest, bundle.files) == (whole.manifest, whole.files)
    assert reasons == {"BUNDLE_INVALID"}


def test_signatures_are_checked_against_trusted_keys(tmp_path):
    signed, unsigned = parts.bundle_bytes(key=KEY), parts.bundle_bytes()
    assert read_bundle(signed, [STRANGER, PUBLIC]).trust == "verified"
    assert read_bundle(signed, [STRANGER]).trust == "unverified"
    assert read_bundle(signed).trust == "unverified"
    assert read_bundle(unsigned, [PUBLIC]).trust == "unverified"
    for data in (signed, unsigned):
        assert refused(data, trusted_keys=[STRANGER], require_signature=True).reason == "BUNDLE_UNTRUSTED"
    with pytest.raises(ValueError):
        read_bundle(signed, ["no key"])


def test_a_signature_of_another_manifest_is_refused():
    other = members(parts.bundle_bytes(parts.manifest(seed=99), key=KEY))["signature.json"]
    problem = refused(changed(signature_json=other), trusted_keys=[PUBLIC])
    assert (problem.reason, problem.violations[0].field) == ("BUNDLE_INVALID", "signature")


def test_load_warns_unless_verified(tmp_path):
    path = tmp_path / "x.kohort"
    path.write_bytes(parts.bundle_bytes(key=KEY))
    with pytest.warns(UserWarning, match="unverified"):
        load(path)
    import base64
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(path, [base64.b64encode(PUBLIC).decode()])
    with pytest.raises(Problem) as caught:
        load(path, require_signature=True)
    assert caught.value.reason == "BUNDLE_UNTRUSTED"


@pytest.mark.parametrize("as_file", [True, False])
def test_a_bundle_that_is_too_large_is_refused_before_it_is_read(tmp_path, as_file):
    data = parts.bundle_bytes()
    source: object = data
    if as_file:
        source = tmp_path / "x"
        source.write_bytes(data)
    with pytest.raises(Problem) as caught:
        read_bundle(source, max_bytes=len(data) - 1)
    assert caught.value.reason == "LIMIT_EXCEEDED"
    assert read_bundle(source, max_bytes=len(data)).size == len(data)


def test_sample_gives_the_rows_of_the_program_without_pandas(monkeypatch):
    monkeypatch.setattr(kohort.bundle, "find_spec", lambda name: None)
    bundle = read_bundle(parts.bundle_bytes())
    arrays = bundle.sample(100, seed=3, start=20)
    rows = Batch("people", arrays)
    assert rows.row_count == 100
    whole = bundle.sample(200, seed=3)
    assert batch_digest(rows) == batch_digest(
        Batch("people", {name: array.slice(20, 120) for name, array in whole.items()})
    )
    assert len(bundle.sample(0)["age"]) == 0
    assert batch_digest(Batch("people", bundle.sample(5))) != batch_digest(Batch("people", bundle.sample(5)))


def test_sample_gives_a_frame_that_says_where_it_is_from():
    pytest.importorskip("kohort.frames")
    bundle = read_bundle(parts.bundle_bytes())
    frame = bundle.sample(70, seed=3)
    assert list(frame.columns) == [c.name for c in parts.PEOPLE.emitted]
    assert len(frame) == 70
    assert frame.attrs["kohort"] == {
        "synthetic": True,
        "content_digest": bundle.manifest.content_digest.hex(),
        "seed": 3,
        "acceptance_rate": 1.0,
    }
    (batch, _) = bundle.program().units(SampleSpec(3), 0, 70)
    assert frame["age"].tolist()[:64] == batch.arrays["age"].to_python()


def test_sample_of_several_tables_is_a_frame_for_each():
    pytest.importorskip("kohort.frames")
    frames = read_bundle(step_program.step_bundle()).sample(50, seed=1)
    assert list(frames) == ["patients", "visits"]
    assert len(frames["patients"]) == 50
    assert set(frames["visits"]["patient"]) <= set(frames["patients"]["patient"])


def test_signing_keys_come_from_pem():
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    def pem(key) -> bytes:
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    assert load_signing_key(pem(KEY)).public_key().public_bytes_raw() == PUBLIC
    with pytest.raises(ValueError):
        load_signing_key(pem(generate_private_key(SECP256R1())))


def test_the_card_says_what_matters():
    card = card_text(parts.manifest())
    assert "synthetic" in card
    assert "without differential privacy" in card
    assert "fewer than 5 patients" in card
    assert "| notes | text | left out (FREE\\_TEXT) |" in card
    assert "FREE\\_TEXT (people.notes)" in card
    assert not any(value in card for value in parts.SEX)
    privacy = {"differentially_private": True, "epsilon": 1.0, "delta": 1e-6}
    private = card_text(replace(parts.manifest(), privacy=privacy))
    assert "ε = 1.0" in private
    assert "without differential privacy" not in private


def test_names_cannot_break_out_of_the_card():
    columns = (replace(parts.PEOPLE.columns[4], name="a|b <script> `x`\n# y"),)
    made = parts.manifest(schema=Schema((parts.PEOPLE.with_columns(columns),)))
    line = next(line for line in card_text(made).splitlines() if "script" in line)
    assert line.startswith("| a\\|b &#60;script&#62; \\`x\\` # y |")
