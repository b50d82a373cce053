"""The command's samples and completions, run as people run them, against the fake server."""

import json

import pandas as pd
import pytest
from fake_parts import CODE, Fault, rows_of
from fake_server import Fake

from kohort import spec
from kohort.cli import limits


def test_a_row_is_drawn_as_often_as_the_clients_draw_it():
    assert limits.MAX_ATTEMPTS == spec.MAX_ATTEMPTS


def test_a_sample_goes_to_stdout_as_csv(cli):
    code, out, _ = cli("sample", "models/one", 25, "--seed", 1)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "key,sex,bmi"
    assert len(lines) == 26


def test_a_sample_from_several_servers_is_that_of_one(cli, fake):
    asked = ("sample", "models/one", 5000, "--seed", 1, "--temperature", 1.5)
    _, whole, _ = cli(*asked)
    with Fake() as other:
        code, out, _ = cli(*asked, "--replica", other.target)
        assert (code, out) == (0, whole)
        parts = fake.requests("Sample")[1:] + other.requests("Sample")
        assert sum(r.unit_count for r in parts) == 5000
        assert len(parts) > 1
        code, _, err = cli("sample", "models/one", "--augment", 1, "--replica", other.target)
        assert code == 2
        assert "number" in err


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow"])
def test_a_sample_goes_to_a_file_that_says_where_it_comes_from(cli, fake, tmp_path, suffix):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / f"rows{suffix}"
    code, out, _ = cli("sample", "models/one", 35, "--seed", 1, "-o", path, "--json")
    assert code == 0
    told = json.loads(out)
    assert (told["files"], told["row_counts"], told["seed"]) == ([str(path)], {"rows": 35}, 1)
    expected = rows_of(1, 0, 35).arrays
    match suffix:
        case ".csv":
            frame = pd.read_csv(path)
            said = json.loads((tmp_path / "rows.csv.provenance.json").read_text())
        case ".parquet":
            frame = pq.read_table(path).to_pandas()
            said = {
                k.decode().removeprefix("kohort."): v.decode()
                for k, v in pq.read_schema(path).metadata.items()
            }
        case _:
            table = pa.ipc.open_file(path).read_all()
            frame = table.to_pandas()
            said = {k.decode().removeprefix("kohort."): v.decode() for k, v in table.schema.metadata.items()}
    assert frame["key"].tolist() == expected["key"].to_python()
    assert frame["sex"].isna().tolist() == [s is None for s in expected["sex"].to_python()]
    assert str(said["synthetic"]).lower() == "true"
    assert said["model"] == "models/one"
    assert int(said["seed"]) == 1
    assert said["content_digest"] == fake.models["models/one"].content_digest.hex()
    assert not list(tmp_path.glob("*.part"))


def test_several_tables_become_several_files(cli, tmp_path):
    assert cli("sample", "models/two", 30, "-o", tmp_path / "s.csv")[0] == 0
    assert len(pd.read_csv(tmp_path / "s.patients.csv")) == 30
    assert (tmp_path / "s.visits.csv").exists()


def test_a_broken_sample_leaves_no_file(cli, fake, tmp_path):
    fake.fail("Sample", Fault(None, after=4))
    code, _, err = cli("sample", "models/one", 35, "-o", tmp_path / "rows.parquet")
    assert code == 9
    assert "incomplete" in err
    assert list(tmp_path.iterdir()) == []


def test_bad_outputs_are_refused_before_any_call(cli, fake, tmp_path):
    assert cli("sample", "models/one", 5, "-o", tmp_path / "rows.txt")[0] == 2
    assert cli("sample", "models/one", 5, "-o", tmp_path / "none" / "rows.csv")[0] == 2
    assert not fake.calls


def test_a_sample_under_conditions(cli, fake, tmp_path):
    out = tmp_path / "some.csv"
    fake.drawn_per_unit = 2
    options = ["--where", "sex=f,m", "--where", "bmi=1..", "--not-null", "bmi", "--rebalance", "sex=f:3,m:1"]
    code, _, err = cli("sample", "models/one", 5, "-o", out, *options, "--temperature", 2, "--top-p", 0.5)
    assert code == 0
    assert "50.0% of what was drawn met the conditions" in err
    (request,) = fake.requests("Sample")
    assert [c.column for c in request.conditions] == ["sex", "bmi", "bmi"]
    assert (request.temperature, request.top_p, dict(request.rebalancing.shares)) == (
        2,
        0.5,
        {"f": 3, "m": 1},
    )
    fake.training_rows = 7
    assert cli("sample", "models/one", "--augment", 2)[1].count("\r\n") == 15


def test_rows_are_completed(cli, fake, tmp_path):
    rows, out = tmp_path / "rows.csv", tmp_path / "whole.csv"
    rows.write_text("sex,bmi\nf,\n,20.5\n")
    assert cli("complete", "models/one", rows, "-o", out)[0] == 0
    whole = pd.read_csv(out)
    assert whole["sex"].iloc[0] == "f"
    assert whole["bmi"].iloc[1] == 20.5
    rows.write_text("sex,bmi\n")
    code, _, err = cli("complete", "models/one", rows)
    assert (code, "at least one row" in err) == (3, True)
    rows.write_text("colour\nred\n")
    code, _, err = cli("complete", "models/one", rows)
    assert (code, "UNKNOWN_COLUMN" in err, "red" in err) == (3, True, False)


def test_a_condition_that_makes_no_sense_is_a_usage_error(cli, fake):
    for option in ("--where=age", "--where=age=..", "--rebalance=age", "--augment=2"):
        assert cli("sample", "models/one", 5, option)[0] == 2
    assert not fake.calls


def test_what_cannot_be_met_is_refused(cli, fake):
    fake.fail("Sample", Fault(CODE.FAILED_PRECONDITION, "7 units before it", "CONDITION_UNSATISFIED"))
    code, _, err = cli("sample", "models/one", 5, "--where", "sex=f")
    assert (code, "7 units before it" in err) == (3, True)


def test_an_error_as_json_says_how_far_a_sample_came(cli, tmp_path):
    from tests.conditional_generator import toy_bytes

    bundle = tmp_path / "toy.kohort"
    bundle.write_bytes(toy_bytes())
    never = ("--where", "age=40..42", "--where", "score=0..", "--where", "flag=true", "--max-attempts", 1)
    code, _, err = cli("load", bundle, 500, "--seed", 1, *never, "--json")
    error = json.loads(err.splitlines()[-1])["error"]
    assert (code, error["reason"]) == (3, "CONDITION_UNSATISFIED")
    assert int(error["metadata"]["units_reached"]) >= 0


def test_a_bundle_samples_and_completes_without_a_server(cli, tmp_path):
    from tests.conditional_generator import toy_bytes

    bundle, rows, out = tmp_path / "toy.kohort", tmp_path / "rows.csv", tmp_path / "out.csv"
    bundle.write_bytes(toy_bytes())
    assert cli("load", bundle, 50, "-o", out, "--where", "age=35..45", "--where", "sex=F")[0] == 0
    found = pd.read_csv(out)
    assert found["age"].between(35, 45).all()
    assert set(found["sex"]) == {"F"}
    rows.write_text("sex,age\nF,\n,44\n")
    assert cli("load", bundle, "--complete", rows, "-o", out)[0] == 0
    found = pd.read_csv(out)
    assert (found["sex"].iloc[0], found["age"].iloc[1], len(found)) == ("F", 44, 2)
    assert cli("load", bundle, 5, "--complete", rows)[0] == 2
    assert cli("load", bundle, 5, "--augment", 2)[0] == 2
    assert cli("load", bundle, "--augment", 0)[0] == 3
    assert cli("load", bundle, 5, "--where", "sex=X")[0] == 3
    assert cli("load", bundle, "--augment", 2, "-o", out)[0] == 0
    assert len(pd.read_csv(out)) == 400
