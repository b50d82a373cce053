// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/kohort-health/kohort/clients/go/internal/fakeserver"
)

type ward string

type identified struct {
	ID string `kohort:"id"`
}

type patient struct {
	identified
	Ward    *ward               `kohort:"ward"`
	Alive   sql.Null[bool]      `kohort:"alive"`
	Seen    bool                `kohort:"seen"`
	Count   *int64              `kohort:"count"`
	Ratio   **float64           `kohort:"ratio"`
	Dose    *Decimal            `kohort:"dose"`
	Whole   Decimal             `kohort:"whole"`
	Trace   *float64            `kohort:"trace"`
	Born    *time.Time          `kohort:"born"`
	Moment  sql.Null[time.Time] `kohort:"moment"`
	Stay    *Duration           `kohort:"stay"`
	Never   any                 `kohort:"never"`
	Any     any                 `kohort:"local"`
	Drugs   []string            `kohort:"drugs"`
	Remark  sql.Null[string]    `kohort:"remark"`
	Ignored int
	_       int
}

func TestRowsIntoStructs(t *testing.T) {
	golden := fakeserver.Golden()
	client, _ := playing(t, &fakeserver.Sampling{Model: golden})
	rows, err := Collect[patient](context.Background(), client.Sample("models/golden", 1200, OnlyTable("patients")))
	if err != nil || len(rows) != 1200 {
		t.Fatal(len(rows), err)
	}
	for i, row := range rows {
		// Rows are copies: the batches after them change nothing.
		if row.ID != golden.Tables[0].Columns[0].Cells[i] {
			t.Fatalf("row %d is %s", i, row.ID)
		}
	}
	first := rows[0]
	if !first.Alive.Valid || !first.Alive.V || rows[1].Alive.Valid || *first.Count != 0 || rows[5].Count != nil {
		t.Errorf("%+v", first)
	}
	if !math.IsNaN(**first.Ratio) || **rows[6].Ratio != 0.1 || rows[7].Ratio != nil {
		t.Error("ratio")
	}
	if *rows[3].Dose != (Decimal{-250, 2}) || rows[2].Whole != (Decimal{math.MinInt64, 0}) || *rows[1].Trace != -1 {
		t.Error("decimals")
	}
	if !rows[3].Born.Equal(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)) || rows[2].Born != nil || rows[0].Moment.Valid {
		t.Error("times")
	}
	if rows[3].Stay.Microseconds != math.MaxInt64 || first.Never != nil || first.Any != time.UnixMicro(0).UTC() {
		t.Error("durations and any")
	}
	if first.Drugs == nil || len(first.Drugs) != 0 || rows[1].Drugs != nil || rows[3].Drugs[0] != "δ" {
		t.Error("lists")
	}
	if *rows[2].Ward != "Zürich – Öst" || rows[1].Remark.Valid || !first.Remark.Valid || first.Remark.V != "" {
		t.Error("strings")
	}
}

// mapping reads golden rows into T, which does not fit.
func mapping[T any](t *testing.T) error {
	client, _ := playing(t, &fakeserver.Sampling{Model: fakeserver.Golden()})
	rows, err := Collect[T](context.Background(), client.Sample("models/golden", 20, OnlyTable("patients")))
	if err == nil || rows != nil {
		t.Errorf("%T was filled", rows)
	}
	return err
}

func TestWhatDoesNotFitIsTold(t *testing.T) {
	type null struct {
		Alive bool `kohort:"alive"`
	}
	type narrow struct {
		Count *int32 `kohort:"count"`
	}
	type unsigned struct {
		Count *uint64 `kohort:"count"`
	}
	type unknown struct {
		Seen bool `kohort:"sen"`
	}
	type wrong struct {
		Seen string `kohort:"seen"`
	}
	type length struct {
		Stay *time.Duration `kohort:"stay"`
	}
	type float32s struct {
		Ratio *float32 `kohort:"ratio"`
	}
	for _, found := range []struct {
		err                   error
		column, field, reason string
	}{
		{mapping[null](t), "alive", "null.Alive", "is null"},
		{mapping[narrow](t), "count", "narrow.Count", "does not fit"},
		{mapping[unsigned](t), "count", "unsigned.Count", "does not fit"},
		{mapping[unknown](t), "sen", "unknown.Seen", "no such column"},
		{mapping[wrong](t), "seen", "wrong.Seen", "storage bool"},
		{mapping[length](t), "stay", "length.Stay", "time.Duration"},
		{mapping[float32s](t), "ratio", "float32s.Ratio", "does not fit"},
	} {
		var told *MappingError
		if !errors.As(found.err, &told) || told.Table != "patients" || told.Column != found.column || told.Field != found.field ||
			!strings.Contains(told.Error(), found.reason) {
			t.Errorf("%s: the error is %v", found.field, found.err)
		}
	}
	for _, found := range []struct {
		err    error
		reason string
	}{
		{mapping[int](t), "rows are structs, not int"},
		{mapping[struct{ A int }](t), "no exported field"},
		{mapping[struct {
			a int `kohort:"seen"`
		}](t), "not exported"},
		{mapping[struct {
			A bool `kohort:"seen"`
			B bool `kohort:"seen"`
		}](t), "two fields"},
		{mapping[struct {
			A time.Time `kohort:"born,local,date"`
		}](t), "both a date and local"},
		{mapping[struct {
			A bool `kohort:"seen, or not"`
		}](t), "patients.seen, or not into"},
	} {
		if !strings.Contains(found.err.Error(), found.reason) {
			t.Errorf("the error is %v, not %s", found.err, found.reason)
		}
	}
}

func TestRowsByName(t *testing.T) {
	client, _ := playing(t, &fakeserver.Sampling{Model: fakeserver.Heart()})
	for row, err := range client.Sample("models/heart", 2).Rows(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		age, err := Cell[int8](row, "age")
		if err != nil || int64(age) != row.Value("age") || row.Table() != "heart" || !row.Has("sex") || row.Has("x") {
			t.Error(age, err)
		}
		peak, err := Cell[*float64](row, "oldpeak")
		if err != nil || (peak == nil) != row.IsNull("oldpeak") {
			t.Error(peak, err)
		}
		if _, err := Cell[Decimal](row, "oldpeak"); (err != nil) != row.IsNull("oldpeak") {
			t.Error(err)
		}
		for _, column := range []string{"x", "sex"} {
			var told *MappingError
			if _, err := Cell[int](row, column); !errors.As(err, &told) || told.Column != column {
				t.Error(err)
			}
		}
		if !reflect.DeepEqual(row.Columns(), []string{"age", "sex", "oldpeak", "admitted"}) || len(row.Values()) != 4 {
			t.Error(row.Columns(), row.Values())
		}
		func() {
			defer func() {
				if said := recover(); said != "kohort: the table heart has no column x" {
					t.Error(said)
				}
			}()
			row.Value("x")
		}()
	}
}
