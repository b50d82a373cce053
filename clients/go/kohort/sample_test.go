// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/kohort-health/kohort/clients/go/internal/fakeserver"
	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// playing starts a server that plays a sampling, and a client of it that loses no
// time between its tries.
func playing(t testing.TB, sampling *fakeserver.Sampling, options ...Option) (*Client, *fakeserver.Server) {
	t.Helper()
	server := fakeserver.Start()
	server.Sampling = sampling
	t.Cleanup(server.Stop)
	quick := WithRetry(Retry{InitialBackoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond})
	client, err := NewClient(server.Address, append([]Option{quick}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client, server
}

// raw gives a cell as the fake server's models hold it.
func raw(column *Column, i int) any {
	switch {
	case column.IsNull(i):
		return nil
	case column.days != nil:
		return column.days[i]
	case column.ints != nil:
		return column.ints[i]
	}
	return column.Value(i)
}

// same compares cells; one that is no number is equal to itself.
func same(a, b any) bool {
	if x, is := a.(float64); is {
		y, too := b.(float64)
		return too && math.Float64bits(x) == math.Float64bits(y)
	}
	return fmt.Sprintf("%T %#v", a, a) == fmt.Sprintf("%T %#v", b, b)
}

// compare reads a sample to its end, and compares every cell with the model.
func compare(t *testing.T, sample *Sample, model *fakeserver.Model) {
	t.Helper()
	found := map[string][][]any{}
	for batch, err := range sample.Batches(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if found[batch.Table()] == nil {
			found[batch.Table()] = make([][]any, len(batch.Columns()))
		}
		for c := range batch.Columns() {
			column := &batch.Columns()[c]
			for i := range column.Len() {
				found[batch.Table()][c] = append(found[batch.Table()][c], raw(column, i))
			}
		}
	}
	start := sample.asked.GetStartUnit()
	for table, columns := range model.Cells(start, start+sample.asked.GetUnitCount()) {
		for c, cells := range columns {
			if len(found[table]) != len(columns) || len(found[table][c]) != len(cells) {
				t.Fatalf("%s: %d columns of %d", table, len(found[table]), len(columns))
			}
			for i := range cells {
				if !same(found[table][c][i], cells[i]) {
					t.Fatalf("%s, column %d, row %d: %#v, not %#v", table, c, i, found[table][c][i], cells[i])
				}
			}
		}
	}
}

func TestEveryKindOfColumn(t *testing.T) {
	golden := fakeserver.Golden()
	client, server := playing(t, &fakeserver.Sampling{Model: golden})
	sample := client.Sample("models/golden", fakeserver.GoldenUnits, Seed(-5))
	compare(t, sample, golden)
	if header := sample.Header(); header.GetSeed() != -5 || !header.GetSynthetic() {
		t.Errorf("the header is %v", header)
	}
	if sample.Streams() != 1 || sample.Trailer().GetUnitCount() != fakeserver.GoldenUnits {
		t.Errorf("%d streams, trailer %v", sample.Streams(), sample.Trailer())
	}
	compare(t, client.Sample("models/golden", 3, StartUnit(1000)), golden)
	compare(t, client.Sample("models/golden", 1), golden)
	if request := server.Sampling.Requests()[0]; request.GetFormat() != pb.SampleFormat_SAMPLE_FORMAT_COLUMNS {
		t.Errorf("the format is %v", request.GetFormat())
	}
}

func TestTypedCells(t *testing.T) {
	client, _ := playing(t, &fakeserver.Sampling{Model: fakeserver.Golden()})
	for batch, err := range client.Sample("models/golden", 7).Batches(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if batch.Table() != "patients" {
			continue
		}
		for _, expected := range []struct {
			column string
			row    int
			text   string
		}{
			{"born", 3, "0001-01-01 00:00:00 +0000 UTC"},
			{"born", 6, "9999-12-31 00:00:00 +0000 UTC"},
			{"local", 1, "1969-12-31 23:59:59.999999 +0000 UTC"},
			{"moment", 4, "9999-12-31 23:59:59.999999 +0000 UTC"},
			{"dose", 3, "-2.50"},
			{"dose", 5, "-92233720368547758.08"},
			{"trace", 0, "0.000000000001"},
			{"stay", 2, "PT-90.000001S"},
			{"count", 2, "9223372036854775807"},
			{"drugs", 0, "[]"},
			{"drugs", 1, "<nil>"},
			{"never", 0, "<nil>"},
			{"ward", 3, "日本語"},
		} {
			if text := fmt.Sprint(batch.Row(expected.row).Value(expected.column)); text != expected.text {
				t.Errorf("%s: %s, not %s", expected.column, text, expected.text)
			}
		}
		if batch.Column("drugs").List(0) == nil || batch.Column("nothing") != nil || batch.FirstUnit() != 0 {
			t.Error("an empty list is nil, or a column is there that is not")
		}
	}
}

func TestOneTableOfSeveral(t *testing.T) {
	client, _ := playing(t, &fakeserver.Sampling{Model: fakeserver.Golden()})
	sample := client.Sample("models/golden", 300, OnlyTable("visits"))
	type visit struct {
		At   time.Time `kohort:"at"`
		Code *string   `kohort:"code"`
	}
	visits, err := Collect[visit](context.Background(), sample)
	if err != nil || len(visits) != 300 || !visits[0].At.Equal(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%d visits, %v", len(visits), err)
	}
}

func TestTwoReadingsAtOnce(t *testing.T) {
	golden := fakeserver.Golden()
	client, _ := playing(t, &fakeserver.Sampling{Model: golden})
	sample := client.Sample("models/golden", 1200, Seed(1))
	done := make(chan error)
	for range 2 {
		go func() {
			rows := 0
			for _, err := range sample.Rows(context.Background()) {
				if err != nil {
					done <- err
					return
				}
				rows++
				_, _ = sample.Header(), sample.Streams()
			}
			if rows != 2400 {
				done <- fmt.Errorf("%d rows", rows)
				return
			}
			done <- nil
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
