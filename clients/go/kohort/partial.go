// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"iter"
	"reflect"

	"google.golang.org/protobuf/proto"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// maxPartialBytes is what rows to complete may take in a request.
const maxPartialBytes = 2_900_000

// Complete asks for rows of which some cells are given: unit i of the sample keeps the
// cells of row i that are not null and gets the others from the model. Fields with a tag
// `kohort:"column"` are given, other columns are open; see [Rows]. The units of the
// sample are 0: there are as many as rows.
//
//	sample := client.Sample(model, 0, kohort.Complete(slices.Values(patients)))
//
// It takes the model's only table, and rows of 3 MiB at most. What a model says of a
// person whom the caller knows can tell whether it learned from that person: callers
// need the role trainer, custodian or admin.
func Complete[T any](rows iter.Seq[T]) SampleOption {
	return sampleOption(func(s *Sample) error {
		s.partial = func(ctx context.Context, schema *pb.Schema) (*partialRows, error) {
			return readPartial(ctx, schema, rows)
		}
		return nil
	})
}

// partialRows are rows to complete, in the storage of the model's columns.
type partialRows struct {
	table   string
	columns []*builder
}

func (p *partialRows) len() int { return p.columns[0].rows }

func readPartial[T any](ctx context.Context, schema *pb.Schema, rows iter.Seq[T]) (*partialRows, error) {
	if len(schema.GetTables()) != 1 {
		return nil, wrongUse("a model of several tables cannot complete rows")
	}
	table := newTableInfo(schema.GetTables()[0])
	fields, err := fieldsOf(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	partial := &partialRows{table: table.schema.GetName()}
	partial.columns, err = buildersFor(partial.table, fields, func(field field) (*pb.Column, bool, string) {
		i, known := table.position[field.column]
		if !known {
			return nil, false, noColumn
		}
		info := proto.CloneOf(table.schema.GetColumns()[i])
		return info, info.GetTimeZone() == "", ""
	})
	if err != nil {
		return nil, err
	}
	if err := collect(ctx, partial.table, fields, partial.columns, rows); err != nil {
		return nil, err
	}
	if partial.len() == 0 {
		return nil, wrongUse("there are no rows to complete")
	}
	if proto.Size(partial.from(0)) > maxPartialBytes {
		return nil, wrongUse("the rows to complete take more than 3 MiB: complete fewer at a time")
	}
	return partial, nil
}

// from gives the rows from this one on.
func (p *partialRows) from(first int) *pb.PartialRows {
	columns := cut(p.columns, first, p.len())
	message := &pb.PartialRows{Batch: batchOf(p.table, columns)}
	message.Batch.Digest = new(digester).add(newColumnDigests(len(columns)), columns)
	for _, b := range p.columns {
		message.Columns = append(message.Columns, b.Name())
		for chunk := range dictionaryChunks(p.table, b) {
			message.Dictionaries = append(message.Dictionaries, chunk)
		}
	}
	return message
}
