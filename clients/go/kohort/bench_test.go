// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// heart is the heart table with its 14 columns as a server sends them.
type heart struct {
	Age      int16   `kohort:"age"`
	Sex      int8    `kohort:"sex"`
	Pain     int8    `kohort:"cp"`
	Pressure int     `kohort:"trestbps"`
	Chol     int     `kohort:"chol"`
	Sugar    bool    `kohort:"fbs"`
	ECG      string  `kohort:"restecg"`
	Rate     int     `kohort:"thalach"`
	Angina   bool    `kohort:"exang"`
	Peak     Decimal `kohort:"oldpeak"`
	Slope    string  `kohort:"slope"`
	Vessels  *int8   `kohort:"ca"`
	Thal     *string `kohort:"thal"`
	Num      int8    `kohort:"num"`
}

const benchRows = 13_000

// benchMessages are the encoded messages of a stream of that many batches.
func benchMessages(b *testing.B, count int) [][]byte {
	fields, err := fieldsOf(reflect.TypeFor[heart]())
	if err != nil {
		b.Fatal(err)
	}
	columns, err := buildersFor("heart", fields, columnOf)
	if err != nil {
		b.Fatal(err)
	}
	schema := &pb.TableSchema{Name: "heart"}
	vessels, thal := int8(2), "reversible"
	for i := range benchRows {
		row := heart{
			Age: int16(30 + i%50), Sex: int8(i % 2), Pain: int8(i % 4), Pressure: 90 + i%100, Chol: 200 + i%200, Sugar: i%5 == 0,
			ECG: []string{"normal", "wave", "hypertrophy"}[i%3], Rate: 100 + i%90, Angina: i%3 == 0, Peak: Decimal{int64(i % 50), 1},
			Slope: []string{"up", "flat", "down"}[i%3], Num: int8(i % 5),
		}
		if i%50 != 0 {
			row.Vessels, row.Thal = &vessels, &thal
		}
		whole := reflect.ValueOf(row)
		for k, field := range fields {
			columns[k].append(whole.FieldByIndex(field.path))
		}
	}
	for _, column := range columns {
		column.settle()
	}
	if err := declareColumns(schema, columns); err != nil {
		b.Fatal(err)
	}
	messages := []*pb.SampleResponse{{Part: &pb.SampleResponse_Header{Header: &pb.SampleHeader{
		UnitCount: int64(count * benchRows), Schema: &pb.Schema{Tables: []*pb.TableSchema{schema}},
	}}}}
	for part := range uploadParts("heart", columns) {
		if dictionary := part.GetDictionary(); dictionary != nil {
			messages = append(messages, &pb.SampleResponse{Part: &pb.SampleResponse_Dictionary{Dictionary: dictionary}})
		}
	}
	all := cut(columns, 0, benchRows)
	batch := batchOf("heart", all)
	batch.Digest = new(digester).add(newColumnDigests(len(all)), all)
	for i := range count {
		batch := proto.CloneOf(batch)
		batch.NextUnit = int64((i + 1) * benchRows)
		messages = append(messages, &pb.SampleResponse{Part: &pb.SampleResponse_Batch{Batch: batch}})
	}
	encoded := make([][]byte, len(messages))
	for i, message := range messages {
		if encoded[i], err = proto.Marshal(message); err != nil {
			b.Fatal(err)
		}
	}
	return encoded
}

// benchmark reads messages as a client does once they have arrived.
func benchmark(b *testing.B, use func(*Batch) error) {
	const count = 20
	encoded := benchMessages(b, count)
	b.ReportAllocs()
	for b.Loop() {
		state := newSampleState(&pb.SampleRequest{UnitCount: count * benchRows}, nil)
		state.request()
		for _, data := range encoded {
			message := &pb.SampleResponse{}
			if err := proto.Unmarshal(data, message); err != nil {
				b.Fatal(err)
			}
			ready, err := state.take(message)
			for _, batch := range ready {
				if err == nil {
					err = use(batch)
				}
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N)*count*benchRows/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func BenchmarkBatches(b *testing.B) {
	benchmark(b, func(*Batch) error { return nil })
}

func BenchmarkStructs(b *testing.B) {
	rows := make([]heart, benchRows)
	var plan *rowPlan
	benchmark(b, func(batch *Batch) (err error) {
		if plan == nil {
			plan, err = planRows(reflect.TypeFor[heart](), batch.Schema())
		}
		if err != nil {
			return err
		}
		clear(rows)
		return plan.fill(reflect.ValueOf(rows), batch)
	})
}

func BenchmarkCSV(b *testing.B) {
	var text []byte
	benchmark(b, func(batch *Batch) error {
		text = batch.AppendCSV(text[:0])
		return nil
	})
}
