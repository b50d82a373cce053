// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/kohort-health/kohort/clients/go/internal/fakeserver"
	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

type visit struct {
	ID     string           `kohort:"id"`
	Ward   *ward            `kohort:"ward"`
	Age    uint8            `kohort:"age"`
	Alive  sql.Null[bool]   `kohort:"alive"`
	Ratio  *float64         `kohort:"ratio"`
	Dose   *Decimal         `kohort:"dose"`
	Born   time.Time        `kohort:"born,date"`
	Local  *time.Time       `kohort:"local,local"`
	Moment *time.Time       `kohort:"moment"`
	Stay   time.Duration    `kohort:"stay"`
	Drugs  []string         `kohort:"drugs"`
	Note   sql.Null[string] `kohort:"note"`
}

func visits(count int) []visit {
	rows := make([]visit, count)
	for i := range rows {
		wards, moment := ward([]string{"Ward A", "日本語", ""}[i%3]), time.Date(9999, 12, 31, 23, 59, 59, i*1000, time.UTC)
		rows[i] = visit{
			ID: fmt.Sprintf("syn-%07d", i), Age: uint8(i), Born: time.Date(1, 1, 1+i%28, 0, 0, 0, 0, time.UTC), Stay: time.Duration(i) * time.Microsecond,
		}
		if i%2 == 0 {
			rows[i].Ward, rows[i].Moment, rows[i].Local = &wards, &moment, &moment
			rows[i].Alive = sql.Null[bool]{V: i%4 == 0, Valid: true}
			rows[i].Drugs = []string{"δ", "", fmt.Sprint(i % 7)}
		}
		if i%5 == 0 {
			ratio := float64(i) / 3
			rows[i].Ratio, rows[i].Dose = &ratio, &Decimal{int64(i), 2}
			rows[i].Note, rows[i].Drugs = sql.Null[string]{Valid: true}, []string{}
		}
	}
	return rows
}

// sampled plays an upload as if it were a sample.
func sampled(t *testing.T, upload *fakeserver.Upload) []*Batch {
	t.Helper()
	rows := int64(0)
	for _, batch := range upload.Batches {
		rows += int64(batch.GetRowCount())
	}
	state := newSampleState(&pb.SampleRequest{UnitCount: rows}, nil)
	state.request()
	messages := []*pb.SampleResponse{{Part: &pb.SampleResponse_Header{Header: &pb.SampleHeader{
		Schema: upload.Header.GetSchema(), UnitCount: rows,
	}}}}
	for _, chunk := range upload.Dictionaries {
		messages = append(messages, &pb.SampleResponse{Part: &pb.SampleResponse_Dictionary{Dictionary: chunk}})
	}
	next := int64(0)
	for _, batch := range upload.Batches {
		next += int64(batch.GetRowCount())
		batch.NextUnit = next
		messages = append(messages, &pb.SampleResponse{Part: &pb.SampleResponse_Batch{Batch: batch}})
	}
	table := upload.Header.GetSchema().GetTables()[0].GetName()
	messages = append(messages, &pb.SampleResponse{Part: &pb.SampleResponse_Trailer{Trailer: &pb.SampleTrailer{
		UnitCount: rows, RowCounts: map[string]int64{table: rows}, Digest: upload.Header.GetDigests()[0].GetSha256(),
	}}})
	var batches []*Batch
	for _, message := range messages {
		ready, err := state.take(message)
		if err != nil {
			t.Fatal(err)
		}
		batches = append(batches, ready...)
	}
	return batches
}

func TestUploadedRowsComeBack(t *testing.T) {
	client, server := playing(t, &fakeserver.Sampling{Model: fakeserver.Heart()})
	sent := visits(20_000)
	server.Fail("UploadDataset", status.Error(codes.Unavailable, "cut"))
	declared := &pb.TableSchema{Columns: []*pb.Column{{Name: "ward", Kind: pb.ColumnKind_COLUMN_KIND_CATEGORY}}}
	dataset, err := UploadRows(context.Background(), client, slices.Values(sent),
		Table("visits"), SubjectKey("id"), Declare(declared), DisplayName("visits"))
	if err != nil || dataset.GetRowCounts()["visits"] != 20_000 {
		t.Fatal(dataset, err)
	}
	if calls := server.Calls("UploadDataset"); len(calls) != 2 {
		t.Errorf("%d calls, where the first broke", len(calls))
	}
	upload := server.Uploads()[0]
	var found []visit
	var plan *rowPlan
	for _, batch := range sampled(t, upload) {
		if plan == nil {
			if plan, err = planRows(reflect.TypeFor[visit](), batch.Schema()); err != nil {
				t.Fatal(err)
			}
		}
		rows := make([]visit, batch.Len())
		if err := plan.fill(reflect.ValueOf(rows), batch); err != nil {
			t.Fatal(err)
		}
		found = append(found, rows...)
	}
	for i := range sent {
		if a, b := fmt.Sprintf("%+v", told(sent[i])), fmt.Sprintf("%+v", told(found[i])); a != b {
			t.Fatalf("row %d is\n%s, not\n%s", i, b, a)
		}
	}
	for i, batch := range upload.Batches {
		size := proto.Size(batch)
		if size > 1<<20+1<<18 || (size < 1<<18 && i < len(upload.Batches)-1) || len(batch.GetDigest()) != 32 {
			t.Errorf("batch %d takes %d bytes", i, size)
		}
	}
	table := upload.Header.GetSchema().GetTables()[0]
	for i, expected := range []string{
		`name:"id" storage:STORAGE_STRING`,
		`name:"ward" kind:COLUMN_KIND_CATEGORY storage:STORAGE_STRING nullable:true`,
		`name:"age" storage:STORAGE_INT64`,
		`name:"alive" storage:STORAGE_BOOL nullable:true`,
		`name:"ratio" storage:STORAGE_DOUBLE nullable:true`,
		`name:"dose" storage:STORAGE_DECIMAL nullable:true scale:2`,
		`name:"born" storage:STORAGE_DATE`,
		`name:"local" storage:STORAGE_DATETIME nullable:true`,
		`name:"moment" storage:STORAGE_DATETIME nullable:true time_zone:"UTC"`,
		`name:"stay" storage:STORAGE_DURATION`,
		`name:"drugs" storage:STORAGE_STRING_LIST nullable:true`,
		`name:"note" storage:STORAGE_STRING nullable:true`,
	} {
		if column := strings.ReplaceAll(table.GetColumns()[i].String(), "  ", " "); column != expected {
			t.Errorf("the column is %s, not %s", column, expected)
		}
	}
	// The ids hardly repeat.
	if upload.Batches[0].GetColumns()[0].GetStrings() == nil || upload.Dictionaries[0].GetColumn() != "ward" {
		t.Error("the ids travel with a dictionary")
	}
	if table.GetSubjectKey() != "id" || upload.Header.GetDisplayName() != "visits" {
		t.Error(upload.Header)
	}
}

// told is a row with what its pointers point to.
func told(row visit) []any {
	cells := []any{row.ID, row.Age, row.Alive, row.Born, row.Stay, row.Drugs == nil, row.Drugs, row.Note}
	for _, pointer := range []any{row.Ward, row.Ratio, row.Dose, row.Local, row.Moment} {
		if value := reflect.ValueOf(pointer); value.IsNil() {
			cells = append(cells, nil)
		} else {
			cells = append(cells, value.Elem().Interface())
		}
	}
	return cells
}

func TestRowsOfVeryDifferentSize(t *testing.T) {
	type note struct {
		Text string `kohort:"text"`
	}
	rows := make([]note, 3000)
	for i := range rows {
		rows[i].Text = fmt.Sprint(i)
		if i%500 == 499 {
			rows[i].Text += strings.Repeat("x", 1<<20)
		}
	}
	client, server := playing(t, &fakeserver.Sampling{Model: fakeserver.Heart()})
	if _, err := UploadRows(context.Background(), client, slices.Values(rows)); err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, batch := range sampled(t, server.Uploads()[0]) {
		for i := range batch.Len() {
			if batch.Columns()[0].Text(i) != rows[count].Text {
				t.Fatalf("row %d", count)
			}
			count++
		}
	}
	for _, batch := range server.Uploads()[0].Batches {
		if size := proto.Size(batch); size > 3<<20 {
			t.Errorf("a batch of %d bytes", size)
		}
	}
	if count != len(rows) {
		t.Errorf("%d rows", count)
	}
}

func TestRowsThatCannotBeSent(t *testing.T) {
	client, server := playing(t, &fakeserver.Sampling{Model: fakeserver.Heart()})
	type cell[T any] struct {
		A T `kohort:"a"`
	}
	ctx := context.Background()
	for words, upload := range map[string]func() (*pb.Dataset, error){
		"valid UTF-8":     func() (*pb.Dataset, error) { return UploadRows(ctx, client, slices.Values([]cell[string]{{"\xff"}})) },
		"does not fit":    func() (*pb.Dataset, error) { return UploadRows(ctx, client, slices.Values([]cell[uint64]{{1 << 63}})) },
		"no cell is made": func() (*pb.Dataset, error) { return UploadRows(ctx, client, slices.Values([]cell[[]int]{{nil}})) },
		"the scale of": func() (*pb.Dataset, error) {
			return UploadRows(ctx, client, slices.Values([]cell[Decimal]{{Decimal{1, 13}}}))
		},
		"64 bits reach": func() (*pb.Dataset, error) {
			return UploadRows(ctx, client, slices.Values([]cell[time.Time]{{time.Date(300_000, 1, 1, 0, 0, 0, 0, time.UTC)}}))
		},
	} {
		var told *MappingError
		if _, err := upload(); !errors.As(err, &told) || told.Table != "table" || told.Column != "a" || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: the error is %v", words, err)
		}
	}
	type dated struct {
		A int `kohort:"a,date"`
	}
	var told *MappingError
	if _, err := UploadRows(ctx, client, slices.Values([]dated{{1}})); !errors.As(err, &told) || told.Column != "a" {
		t.Error(err)
	}
	scales := []cell[Decimal]{{Decimal{math.MaxInt64, 0}}, {Decimal{1, 1}}}
	if _, err := UploadRows(ctx, client, slices.Values(scales)); err == nil || strings.Contains(err.Error(), "922") {
		t.Error(err)
	}
	if _, err := UploadRows(ctx, client, slices.Values([]cell[int]{})); !errors.Is(err, ErrInvalidRequest) {
		t.Error(err)
	}
	other := Declare(&pb.TableSchema{Columns: []*pb.Column{{Name: "b"}}})
	if _, err := UploadRows(ctx, client, slices.Values([]cell[int]{{1}}), other); !errors.Is(err, ErrInvalidRequest) {
		t.Error(err)
	}
	if calls := server.Calls("UploadDataset"); len(calls) != 0 {
		t.Errorf("%d calls", len(calls))
	}
}

func TestRowsToComplete(t *testing.T) {
	type part struct {
		Sex  *string    `kohort:"sex"`
		Peak *Decimal   `kohort:"oldpeak"`
		When *time.Time `kohort:"admitted"`
	}
	woman, day := "F", time.Date(2031, 5, 6, 0, 0, 0, 0, time.UTC)
	rows := []part{{Sex: &woman}, {}, {Peak: &Decimal{3, 0}}, {When: &day}, {Sex: &woman}, {}, {}, {}, {Peak: &Decimal{12, 1}}}
	sampling := &fakeserver.Sampling{Model: fakeserver.Heart(), Before: func(call, message int) error {
		if call == 0 && message == 3 {
			return status.Error(codes.Unavailable, "cut")
		}
		return nil
	}}
	client, server := playing(t, sampling)
	server.AddModel(&pb.Model{Name: "models/heart", Schema: sampling.Model.Schema()})
	count := 0
	for _, err := range client.Sample("models/heart", 0, Complete(slices.Values(rows)), Seed(1)).Rows(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		count++
	}
	requests := sampling.Requests()
	if count != len(rows) || len(requests) != 2 {
		t.Fatalf("%d rows, %d calls", count, len(requests))
	}
	for i, expected := range []struct {
		rows int32
		peak []int64
		code []uint32
	}{{9, []int64{0, 0, 30, 0, 0, 0, 0, 0, 12}, nil}, {5, []int64{0, 0, 0, 0, 12}, nil}} {
		partial := requests[i].GetPartialRows()
		if partial.GetBatch().GetRowCount() != expected.rows || requests[i].GetUnitCount() != int64(expected.rows) ||
			!slices.Equal(partial.GetBatch().GetColumns()[1].GetInt64S().GetValues(), expected.peak) ||
			!slices.Equal(partial.GetColumns(), []string{"sex", "oldpeak", "admitted"}) || len(partial.GetDictionaries()) != 1 {
			t.Errorf("request %d completes %v", i, partial)
		}
	}
	if validity := requests[0].GetPartialRows().GetBatch().GetColumns()[0].GetValidity(); !bytes.Equal(validity, []byte{17, 0}) {
		t.Error(validity)
	}
	type tooFine struct {
		Peak Decimal `kohort:"oldpeak"`
	}
	var told *MappingError
	fine := client.Sample("models/heart", 0, Complete(slices.Values([]tooFine{{Decimal{125, 2}}})))
	if err := fine.WriteCSV(context.Background(), &bytes.Buffer{}); !errors.As(err, &told) || told.Column != "oldpeak" {
		t.Error(err)
	}
}
