// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"

	"google.golang.org/grpc"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

type columnKey struct{ table, column string }

// reader takes the messages of one Sample stream in and checks them.
type reader struct {
	header       *pb.SampleHeader
	trailer      *pb.SampleTrailer
	nextUnit     int64
	tables       map[string]*pb.TableSchema
	dictionaries map[columnKey][]string
	digests      map[string][]columnDigest
	rows         map[string]int64
	cells        map[string]map[string][]any
}

func sample(ctx context.Context, connection grpc.ClientConnInterface, model string, start, count, seed int64, conditions []*pb.Condition) (any, error) {
	stream, err := pb.NewSamplingServiceClient(connection).Sample(ctx, &pb.SampleRequest{
		Model: model, StartUnit: start, UnitCount: count, Seed: &seed,
		Format: pb.SampleFormat_SAMPLE_FORMAT_COLUMNS, Conditions: conditions,
	})
	if err != nil {
		return nil, err
	}
	r := &reader{
		tables:       map[string]*pb.TableSchema{},
		dictionaries: map[columnKey][]string{},
		digests:      map[string][]columnDigest{},
		rows:         map[string]int64{},
		cells:        map[string]map[string][]any{},
	}
	for {
		message, err := stream.Recv()
		if err == io.EOF {
			return r.result()
		}
		if err != nil {
			return nil, err
		}
		if err := r.take(message); err != nil {
			return nil, err
		}
	}
}

// conditions reads COLUMN VALUE COLUMN LOW HIGH, or nothing.
func conditions(words []string) []*pb.Condition {
	if len(words) == 0 {
		return nil
	}
	equal := &pb.Condition_OneOf{OneOf: &pb.ValueSet{Values: words[1:2]}}
	within := &pb.Condition_Range{Range: &pb.ValueRange{Minimum: &words[3], Maximum: &words[4]}}
	return []*pb.Condition{{Column: words[0], Test: equal}, {Column: words[2], Test: within}}
}

func (r *reader) take(message *pb.SampleResponse) error {
	header := message.GetHeader()
	if (header == nil) == (r.header == nil) || r.trailer != nil {
		return errors.New("the messages of the stream are out of order")
	}
	switch part := message.GetPart().(type) {
	case *pb.SampleResponse_Header:
		r.header = header
		for _, table := range header.GetSchema().GetTables() {
			r.tables[table.GetName()] = table
			r.digests[table.GetName()] = newColumnDigests(len(table.GetColumns()))
			r.rows[table.GetName()] = 0
			r.cells[table.GetName()] = map[string][]any{}
			for _, column := range table.GetColumns() {
				r.cells[table.GetName()][column.GetName()] = []any{}
			}
		}
	case *pb.SampleResponse_Dictionary:
		key := columnKey{part.Dictionary.GetTable(), part.Dictionary.GetColumn()}
		if int(part.Dictionary.GetFirstIndex()) != len(r.dictionaries[key]) {
			return fmt.Errorf("%s: a dictionary chunk is missing", key.column)
		}
		r.dictionaries[key] = append(r.dictionaries[key], part.Dictionary.GetValues()...)
	case *pb.SampleResponse_Batch:
		return r.batch(part.Batch)
	case *pb.SampleResponse_Trailer:
		r.trailer = part.Trailer
	default:
		return errors.New("the stream holds a message that was not asked for")
	}
	return nil
}

func (r *reader) batch(batch *pb.RecordBatch) error {
	table, rows := r.tables[batch.GetTable()], int(batch.GetRowCount())
	if len(batch.GetColumns()) != len(table.GetColumns()) {
		return errors.New("a batch does not fit its table")
	}
	alone := newColumnDigests(len(batch.GetColumns()))
	for i, column := range table.GetColumns() {
		data := batch.GetColumns()[i]
		texts, err := cellTexts(column, data, rows, r.dictionaries[columnKey{table.GetName(), column.GetName()}])
		if err != nil {
			return err
		}
		r.cells[table.GetName()][column.GetName()] = append(r.cells[table.GetName()][column.GetName()], texts...)
		alone[i].add(data, rows)
		r.digests[table.GetName()][i].add(data, rows)
	}
	if !bytes.Equal(contentDigest(alone), batch.GetDigest()) {
		return errors.New("a batch does not have the digest it came with")
	}
	r.rows[table.GetName()] += int64(rows)
	r.nextUnit = batch.GetNextUnit()
	return nil
}

func (r *reader) result() (any, error) {
	if r.trailer == nil {
		return nil, errors.New("the stream ended without a trailer")
	}
	var columns []columnDigest
	for _, table := range r.header.GetSchema().GetTables() {
		columns = append(columns, r.digests[table.GetName()]...)
	}
	if !bytes.Equal(contentDigest(columns), r.trailer.GetDigest()) {
		return nil, errors.New("the stream does not have the digest of its trailer")
	}
	if !maps.Equal(r.rows, r.trailer.GetRowCounts()) {
		return nil, errors.New("the stream does not have the rows of its trailer")
	}
	return map[string]any{
		"model":               r.header.GetModel(),
		"seed":                strconv.FormatInt(r.header.GetSeed(), 10),
		"synthetic":           r.header.GetSynthetic(),
		"runtime_fingerprint": r.header.GetRuntimeFingerprint(),
		"units":               strconv.FormatInt(r.trailer.GetUnitCount(), 10),
		"next_unit":           strconv.FormatInt(r.nextUnit, 10),
		"digest":              hex.EncodeToString(r.trailer.GetDigest()),
		"tables":              r.cells,
	}, nil
}
