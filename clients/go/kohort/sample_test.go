// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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

func TestBrokenStreamsAreRefused(t *testing.T) {
	golden := fakeserver.Golden()
	patients := func(m *pb.SampleResponse) *pb.RecordBatch {
		if m.GetBatch().GetTable() == "patients" {
			return m.GetBatch()
		}
		return nil
	}
	for name, broken := range map[string]struct {
		words  string
		change func(*pb.SampleResponse) *pb.SampleResponse
	}{
		"batch digest": {"digest", func(m *pb.SampleResponse) *pb.SampleResponse {
			if batch := patients(m); batch != nil {
				batch.Digest = make([]byte, 32)
			}
			return m
		}},
		"value": {"digest", func(m *pb.SampleResponse) *pb.SampleResponse {
			if batch := patients(m); batch != nil {
				batch.Columns[3].GetInt64S().Values[0] ^= 1
			}
			return m
		}},
		"a bit of validity": {"null cell is not zero", func(m *pb.SampleResponse) *pb.SampleResponse {
			if batch := patients(m); batch != nil {
				batch.Columns[3].Validity[0] ^= 2
			}
			return m
		}},
		"length of validity": {"bitmap", func(m *pb.SampleResponse) *pb.SampleResponse {
			if batch := patients(m); batch != nil {
				batch.Columns[3].Validity = []byte{1}
			}
			return m
		}},
		"rows": {"more or fewer cells", func(m *pb.SampleResponse) *pb.SampleResponse {
			if batch := patients(m); batch != nil {
				batch.RowCount--
				batch.Columns[1].Validity = nil
			}
			return m
		}},
		"storage": {"do not fit the storage", func(m *pb.SampleResponse) *pb.SampleResponse {
			if batch := patients(m); batch != nil {
				batch.Columns[3].Values = batch.Columns[4].Values
			}
			return m
		}},
		"index": {"beyond the dictionary", func(m *pb.SampleResponse) *pb.SampleResponse {
			if batch := patients(m); batch != nil {
				batch.Columns[12].GetIndices().Values[3] = 10
			}
			return m
		}},
		"offsets": {"offsets", func(m *pb.SampleResponse) *pb.SampleResponse {
			if batch := patients(m); batch != nil {
				batch.Columns[16].GetLists().Offsets[1] = 5
			}
			return m
		}},
		"columns": {"columns of its table", func(m *pb.SampleResponse) *pb.SampleResponse {
			if batch := patients(m); batch != nil {
				batch.Columns = batch.Columns[1:]
			}
			return m
		}},
		"table": {"does not name", func(m *pb.SampleResponse) *pb.SampleResponse {
			if batch := patients(m); batch != nil {
				batch.Table = "other"
			}
			return m
		}},
		"trailer digest": {"digest", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetTrailer() != nil {
				m.GetTrailer().Digest = make([]byte, 32)
			}
			return m
		}},
		"trailer rows": {"not the rows that its trailer says", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetTrailer() != nil {
				m.GetTrailer().RowCounts["visits"]++
			}
			return m
		}},
		"trailer table": {"not the rows that its trailer says", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetTrailer() != nil {
				m.GetTrailer().RowCounts["other"] = 1
			}
			return m
		}},
		"trailer units": {"units", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetTrailer() != nil {
				m.GetTrailer().UnitCount--
			}
			return m
		}},
		"no trailer": {"without its trailer", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetTrailer() != nil {
				return nil
			}
			return m
		}},
		"no header": {"wrong order", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetHeader() != nil {
				return nil
			}
			return m
		}},
		"another header": {"wrong order", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetDictionary() != nil {
				m.Part = &pb.SampleResponse_Header{Header: &pb.SampleHeader{}}
			}
			return m
		}},
		"a chunk of CSV": {"not asked for", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetDictionary() != nil {
				m.Part = &pb.SampleResponse_Chunk{Chunk: &pb.SampleChunk{}}
			}
			return m
		}},
		"dictionary chunk": {"dictionary chunk is missing", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetDictionary().GetFirstIndex() == 170 {
				return nil
			}
			return m
		}},
		"last dictionary chunk": {"not come, or not wholly", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetDictionary().GetFirstIndex() == 340 {
				return nil
			}
			return m
		}},
		"a string twice": {"twice", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetDictionary().GetColumn() == "ward" {
				m.GetDictionary().Values[1] = ""
			}
			return m
		}},
		"a long dictionary": {"longer than announced", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetDictionary().GetColumn() == "ward" {
				m.GetDictionary().Total--
			}
			return m
		}},
		"other units": {"other units", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetHeader() != nil {
				m.GetHeader().UnitCount++
			}
			return m
		}},
		"backwards": {"wrong order", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetBatch().GetTable() == "visits" {
				m.GetBatch().NextUnit = -1
			}
			return m
		}},
		"too far": {"wrong order", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetBatch().GetTable() == "visits" {
				m.GetBatch().NextUnit = 9999
			}
			return m
		}},
		"empty message": {"not asked for", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetTrailer() != nil {
				m.Part = nil
			}
			return m
		}},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := playing(t, &fakeserver.Sampling{
				Model:  golden,
				Change: func(_ int, m *pb.SampleResponse) *pb.SampleResponse { return broken.change(m) },
			})
			var last error
			for _, err := range client.Sample("models/golden", 800).Batches(context.Background()) {
				last = err
			}
			var refused *IntegrityError
			if !errors.As(last, &refused) || !regexp.MustCompile(broken.words).MatchString(last.Error()) {
				t.Errorf("the error is %v", last)
			}
			if calls := len(server.Sampling.Requests()); calls != 1 {
				t.Errorf("%d calls: what is altered must not be asked for again", calls)
			}
		})
	}
}

func TestResumesAfterEveryMessage(t *testing.T) {
	golden := fakeserver.Golden()
	const units = 1000
	total := len(golden.Messages(&pb.SampleRequest{UnitCount: units}))
	for cut := range total {
		sampling := &fakeserver.Sampling{Model: golden, Before: func(call, message int) error {
			if call == 0 && message == cut {
				return status.Error(codes.Unavailable, "cut")
			}
			return nil
		}}
		client, _ := playing(t, sampling)
		sample := client.Sample("models/golden", units, Seed(3), Temperature(2), MaxAttempts(9), Equals("ward", "x"))
		compare(t, sample, golden)
		requests := sampling.Requests()
		if whole := cut == total-1; whole {
			// Every unit had come: only the trailer was lost.
			if len(requests) != 1 || sample.Trailer() != nil {
				t.Errorf("cut %d: %d calls", cut, len(requests))
			}
			continue
		}
		if len(requests) != 2 || sample.Streams() != 2 {
			t.Fatalf("cut %d: %d calls", cut, len(requests))
		}
		again := requests[1]
		if again.GetStartUnit()+again.GetUnitCount() != units || again.GetStartUnit()%397 != 0 || again.GetSeed() != 3 ||
			again.GetTemperature() != 2 || again.GetMaxAttempts() != 9 || len(again.GetConditions()) != 1 {
			t.Errorf("cut %d: resumed by %v", cut, again)
		}
		if fingerprint := again.GetRuntimeFingerprint(); (fingerprint == "fake/1") != (cut > 0) {
			t.Errorf("cut %d: resumed on %q", cut, fingerprint)
		}
	}
}

func TestResumesAfterCutsOfTheConnection(t *testing.T) {
	golden := fakeserver.Golden()
	random := rand.New(rand.NewPCG(1, 2))
	for range 8 {
		client, server := playing(t, &fakeserver.Sampling{Model: golden})
		cuts := make([]int64, 5)
		for i := range cuts {
			cuts[i] = 1 + random.Int64N(200_000)
		}
		server.CutAfter(cuts...)
		sample := client.Sample("models/golden", fakeserver.GoldenUnits, Seed(1))
		compare(t, sample, golden)
		if sample.Streams() < 2 {
			t.Errorf("cuts after %v bytes: one stream", cuts)
		}
	}
}

func TestResumedStreamsOfAnotherOriginAreRefused(t *testing.T) {
	for name, change := range map[string]func(*pb.SampleHeader){
		"model":   func(h *pb.SampleHeader) { h.ContentDigest = []byte{1} },
		"seed":    func(h *pb.SampleHeader) { h.Seed++ },
		"runtime": func(h *pb.SampleHeader) { h.RuntimeFingerprint = "other" },
		"units":   func(h *pb.SampleHeader) { h.StartUnit++ },
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := playing(t, &fakeserver.Sampling{
				Model: fakeserver.Golden(),
				Before: func(call, message int) error {
					if call == 0 && message == 20 {
						return status.Error(codes.Unavailable, "cut")
					}
					return nil
				},
				Change: func(call int, m *pb.SampleResponse) *pb.SampleResponse {
					if call == 1 && m.GetHeader() != nil {
						change(m.GetHeader())
					}
					return m
				},
			})
			var last error
			for _, err := range client.Sample("models/golden", 2000).Batches(context.Background()) {
				last = err
			}
			var refused *IntegrityError
			if !errors.As(last, &refused) {
				t.Errorf("the error is %v", last)
			}
		})
	}
}

func TestAFinalErrorComesAfterTheRows(t *testing.T) {
	refusal := fakeserver.Refusal{Code: codes.FailedPrecondition, Reason: "CONDITION_UNSATISFIED"}
	client, server := playing(t, &fakeserver.Sampling{Model: fakeserver.Heart(), Before: func(_, message int) error {
		if message == 4 {
			return refusal.Err()
		}
		return nil
	}})
	rows := 0
	for _, err := range client.Sample("models/heart", 100).Rows(context.Background()) {
		if err == nil {
			rows++
		} else if !errors.Is(err, ErrConditionUnsatisfied) {
			t.Error(err)
		}
	}
	if rows != 8 || len(server.Sampling.Requests()) != 1 {
		t.Errorf("%d rows in %d calls", rows, len(server.Sampling.Requests()))
	}
}

// endless is a model whose stream does not fit into any window.
func endless() *fakeserver.Sampling {
	model := fakeserver.Golden()
	model.UnitsPerBatch = 100
	return &fakeserver.Sampling{Model: model, Before: func(_, message int) error {
		if message > 30 {
			time.Sleep(20 * time.Millisecond)
		}
		return nil
	}}
}

func awaitEnds(t *testing.T, sampling *fakeserver.Sampling, count int) []error {
	t.Helper()
	for range 500 {
		if ends := sampling.Ends(); len(ends) >= count {
			return ends
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the call did not end on the server")
	return nil
}

func TestLeavingTheLoopEndsTheCall(t *testing.T) {
	sampling := endless()
	client, server := playing(t, sampling)
	for range client.Sample("models/golden", fakeserver.GoldenUnits).Batches(context.Background()) {
		break
	}
	for _, err := range awaitEnds(t, sampling, 1) {
		if err == nil {
			t.Error("the server sent all of it")
		}
	}
	if calls := server.Calls("Sample"); len(calls) != 1 {
		t.Errorf("%d calls", len(calls))
	}
}

func TestContextsEndTheCall(t *testing.T) {
	for expected, begin := range map[error]func() (context.Context, context.CancelFunc){
		context.DeadlineExceeded: func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), 100*time.Millisecond)
		},
		context.Canceled: func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(100*time.Millisecond, cancel)
			return ctx, cancel
		},
	} {
		sampling := endless()
		client, _ := playing(t, sampling)
		ctx, cancel := begin()
		defer cancel()
		var last error
		for _, err := range client.Sample("models/golden", fakeserver.GoldenUnits).Batches(ctx) {
			last = err
		}
		if !errors.Is(last, expected) {
			t.Errorf("the error is %v, not %v", last, expected)
		}
		awaitEnds(t, sampling, 1)
	}
}

func TestNoGoroutineIsLeft(t *testing.T) {
	client, _ := playing(t, &fakeserver.Sampling{Model: fakeserver.Golden()})
	read := func(leave bool) {
		for _, err := range client.Sample("models/golden", 500).Rows(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			if leave {
				break
			}
		}
	}
	read(false)
	before := runtime.NumGoroutine()
	for i := range 20 {
		read(i%2 == 0)
	}
	for range 200 {
		if runtime.NumGoroutine() <= before+1 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

func TestOptionsMakeTheRequest(t *testing.T) {
	client, server := playing(t, &fakeserver.Sampling{Model: fakeserver.Heart()})
	day := time.Date(2031, 1, 2, 0, 0, 0, 0, time.UTC)
	sample := client.Sample("models/heart", 8,
		Seed(7), StartUnit(4), Temperature(0.5), TopP(0.9), MaxAttempts(5), MaxBatchRows(100),
		Equals("sex", "F"), OneOf("cp", 1, int8(2), uint(3)).In("heart"), Between("age", 60, nil), NotNull("ca"), IsNull("thal"),
		Between("seen", day, day.Add(90*time.Minute+time.Microsecond)), Equals("ok", true), Equals("dose", Decimal{-5, 2}),
		Equals("stay", 90*time.Second), Equals("ratio", 0.25), Rebalance("num", map[int]float64{0: 1, 1: 3}),
	)
	if _, err := Collect[struct {
		Age int `kohort:"age"`
	}](context.Background(), sample); err != nil {
		t.Fatal(err)
	}
	const expected = `model:"models/heart" start_unit:4 unit_count:8 seed:7 format:SAMPLE_FORMAT_COLUMNS max_batch_rows:100 ` +
		`conditions:{column:"sex" one_of:{values:"F"}} conditions:{table:"heart" column:"cp" one_of:{values:"1" values:"2" values:"3"}} ` +
		`conditions:{column:"age" range:{minimum:"60"}} conditions:{column:"ca" is_null:false} conditions:{column:"thal" is_null:true} ` +
		`conditions:{column:"seen" range:{minimum:"2031-01-02" maximum:"2031-01-02T01:30:00.000001"}} ` +
		`conditions:{column:"ok" one_of:{values:"true"}} conditions:{column:"dose" one_of:{values:"-0.05"}} ` +
		`conditions:{column:"stay" one_of:{values:"PT90S"}} conditions:{column:"ratio" one_of:{values:"0.25"}} ` +
		`rebalancing:{column:"num" shares:{key:"0" value:1} shares:{key:"1" value:3}} temperature:0.5 top_p:0.9 max_attempts:5`
	found := regexp.MustCompile(` +`).ReplaceAllString(server.Sampling.Requests()[0].String(), " ")
	if found != expected {
		t.Errorf("the request is\n%s\nnot\n%s", found, expected)
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	client, server := playing(t, &fakeserver.Sampling{Model: fakeserver.Golden()})
	for words, sample := range map[string]*Sample{
		"at least 1 unit":    client.Sample("models/x", 0),
		"at most 2^53":       client.Sample("models/x", 1<<53, StartUnit(1)),
		"start is at least":  client.Sample("models/x", 1, StartUnit(-1)),
		"the units are 0":    client.Sample("models/x", 1, AugmentationFactor(2)),
		"set of values":      client.Sample("models/x", 1, OneOf("a")),
		"a bound at least":   client.Sample("models/x", 1, Between("a", nil, nil)),
		"of type []int":      client.Sample("models/x", 1, Equals("a", []int{1})),
		"no number":          client.Sample("models/x", 1, Equals("a", math.NaN())),
		"a condition is":     client.Sample("models/x", 1, Condition{}),
		"one column can be":  client.Sample("models/x", 1, Rebalance("a", map[string]float64{"x": 1}), Rebalance("b", map[bool]float64{true: 1})),
		"no table other":     client.Sample("models/x", 1, OnlyTable("other")),
		"patients, visits):": client.Sample("models/x", 1),
	} {
		err := sample.WriteCSV(context.Background(), &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: the error is %v", words, err)
		}
	}
	if calls := len(server.Sampling.Requests()); calls != 2 {
		t.Errorf("%d calls: what makes no sense is not asked", calls)
	}
}

func TestAFactorInsteadOfUnits(t *testing.T) {
	heart := fakeserver.Heart()
	sampling := &fakeserver.Sampling{Model: heart, Before: func(call, message int) error {
		if call == 0 && message == 4 {
			return status.Error(codes.Unavailable, "cut")
		}
		return nil
	}}
	client, _ := playing(t, sampling)
	sample := client.Sample("models/heart", 0, AugmentationFactor(0.5))
	sampling.Units = 30
	rows := 0
	for _, err := range sample.Rows(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		rows++
	}
	again := sampling.Requests()[1]
	if rows != 30 || again.GetUnitCount() != 22 || again.AugmentationFactor != nil {
		t.Errorf("%d rows, resumed by %v", rows, again)
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
