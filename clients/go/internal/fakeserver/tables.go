// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package fakeserver

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// A Model is what a fake server samples from: the cells of its columns, again and
// again. What it sends is built cell by cell from the text of the contract, with
// nothing of the client's, so that the two can disagree.
type Model struct {
	// Tables in the order of the schema.
	Tables []Table
	// UnitsPerBatch cuts the batches.
	UnitsPerBatch int64
	// StringsPerChunk cuts the dictionaries.
	StringsPerChunk int
}

// A Table is one table of a Model.
type Table struct {
	// Name of the table.
	Name string
	// Columns in the order of the schema.
	Columns []Column
	// RowsBefore counts the rows of all units below one; nil: a row per unit.
	RowsBefore func(unit int64) int64
}

// A Column is one column of a Table.
type Column struct {
	// Info is what the schema says.
	Info *pb.Column
	// Cells are repeated: nil, bool, int64 (also decimals, date-times, durations),
	// float64, int32 (days), string or []string.
	Cells []any
	// Dictionary codes strings; nil: they travel as they are.
	Dictionary []string

	codes map[string]uint32
}

// Schema is what the model's header says.
func (m *Model) Schema() *pb.Schema {
	schema := &pb.Schema{}
	for _, table := range m.Tables {
		one := &pb.TableSchema{Name: table.Name}
		for _, column := range table.Columns {
			one.Columns = append(one.Columns, column.Info)
		}
		schema.Tables = append(schema.Tables, one)
	}
	return schema
}

// Cells gives the cells of units [start, stop) by table, column by column.
func (m *Model) Cells(start, stop int64) map[string][][]any {
	tables := map[string][][]any{}
	for _, table := range m.Tables {
		first, last := table.rowsBefore(start), table.rowsBefore(stop)
		columns := make([][]any, len(table.Columns))
		for i, column := range table.Columns {
			columns[i] = make([]any, 0, last-first)
			for row := first; row < last; row++ {
				columns[i] = append(columns[i], column.Cells[row%int64(len(column.Cells))])
			}
		}
		tables[table.Name] = columns
	}
	return tables
}

func (t Table) rowsBefore(unit int64) int64 {
	if t.RowsBefore == nil {
		return unit
	}
	return t.RowsBefore(unit)
}

// Messages is the whole answer to a request.
func (m *Model) Messages(request *pb.SampleRequest) []*pb.SampleResponse {
	start, stop := request.GetStartUnit(), request.GetStartUnit()+request.GetUnitCount()
	messages := []*pb.SampleResponse{{Part: &pb.SampleResponse_Header{Header: &pb.SampleHeader{
		Model: request.GetModel(), ContentDigest: make([]byte, 32), Seed: request.GetSeed(), StartUnit: start,
		UnitCount: request.GetUnitCount(), Schema: m.Schema(), RuntimeFingerprint: "fake/1", Synthetic: true,
	}}}}
	for _, table := range m.Tables {
		for _, column := range table.Columns {
			for first := 0; column.Dictionary != nil && first < max(len(column.Dictionary), 1); first += m.StringsPerChunk {
				messages = append(messages, &pb.SampleResponse{Part: &pb.SampleResponse_Dictionary{Dictionary: &pb.Dictionary{
					Table: table.Name, Column: column.Info.GetName(), FirstIndex: int32(first), Total: int32(len(column.Dictionary)),
					Values: column.Dictionary[first:min(first+m.StringsPerChunk, len(column.Dictionary))],
				}}})
			}
		}
	}
	for first := start; first < stop; first += m.UnitsPerBatch {
		last := min(first+m.UnitsPerBatch, stop)
		cells := m.Cells(first, last)
		for i, table := range m.Tables {
			next := first
			if i == len(m.Tables)-1 { // only the last table of a group completes its units
				next = last
			}
			messages = append(messages, &pb.SampleResponse{Part: &pb.SampleResponse_Batch{
				Batch: table.batch(cells[table.Name], first, next),
			}})
		}
	}
	trailer := &pb.SampleTrailer{RowCounts: map[string]int64{}, UnitCount: stop - start, DrawnUnits: stop - start}
	whole, cells := sha256.New(), m.Cells(start, stop)
	for name, columns := range cells {
		trailer.RowCounts[name] = int64(len(columns[0]))
	}
	for _, table := range m.Tables {
		for i, column := range table.Columns {
			whole.Write(column.digest(cells[table.Name][i]))
		}
	}
	trailer.Digest, trailer.AcceptanceRate = whole.Sum(nil), 1
	return append(messages, &pb.SampleResponse{Part: &pb.SampleResponse_Trailer{Trailer: trailer}})
}

func (t Table) batch(columns [][]any, first, next int64) *pb.RecordBatch {
	batch := &pb.RecordBatch{Table: t.Name, FirstUnit: first, NextUnit: next, RowCount: int32(len(columns[0]))}
	whole := sha256.New()
	for i, column := range t.Columns {
		batch.Columns = append(batch.Columns, column.data(columns[i]))
		whole.Write(column.digest(columns[i]))
	}
	batch.Digest = whole.Sum(nil)
	return batch
}

func (c Column) code(text string) uint32 { return c.codes[text] }

// or gives the cell, and the zero of its type where it is null.
func or[T any](cell any) T {
	value, _ := cell.(T)
	return value
}

func each[T any](cells []any) []T {
	values := make([]T, len(cells))
	for i, cell := range cells {
		values[i] = or[T](cell)
	}
	return values
}

func (c Column) data(cells []any) *pb.ColumnData {
	data := &pb.ColumnData{}
	if slices.Contains(cells, nil) {
		data.Validity = make([]byte, (len(cells)+7)/8)
		for i, cell := range cells {
			if cell != nil {
				data.Validity[i/8] |= 1 << (i % 8)
			}
		}
	}
	switch storage := c.Info.GetStorage(); {
	case storage == pb.Storage_STORAGE_BOOL:
		data.Values = &pb.ColumnData_Bools{Bools: &pb.BoolValues{Values: each[bool](cells)}}
	case storage == pb.Storage_STORAGE_DOUBLE:
		data.Values = &pb.ColumnData_Doubles{Doubles: &pb.DoubleValues{Values: each[float64](cells)}}
	case storage == pb.Storage_STORAGE_DATE:
		data.Values = &pb.ColumnData_Dates{Dates: &pb.DateValues{Values: each[int32](cells)}}
	case storage == pb.Storage_STORAGE_STRING_LIST:
		lists := &pb.ListValues{Offsets: []uint32{0}}
		for _, cell := range cells {
			for _, text := range or[[]string](cell) {
				lists.Values = append(lists.Values, c.code(text))
			}
			lists.Offsets = append(lists.Offsets, uint32(len(lists.Values)))
		}
		data.Values = &pb.ColumnData_Lists{Lists: lists}
	case storage == pb.Storage_STORAGE_STRING && c.Dictionary == nil:
		data.Values = &pb.ColumnData_Strings{Strings: &pb.StringValues{Values: each[string](cells)}}
	case storage == pb.Storage_STORAGE_STRING:
		indices := make([]uint32, len(cells))
		for i, cell := range cells {
			if cell != nil {
				indices[i] = c.code(cell.(string))
			}
		}
		data.Values = &pb.ColumnData_Indices{Indices: &pb.IndexValues{Values: indices}}
	default:
		data.Values = &pb.ColumnData_Int64S{Int64S: &pb.Int64Values{Values: each[int64](cells)}}
	}
	return data
}

// digest is the content digest of a column, cell by cell.
func (c Column) digest(cells []any) []byte {
	validity, values := sha256.New(), sha256.New()
	for _, cell := range cells {
		if cell == nil {
			validity.Write([]byte{0})
		} else {
			validity.Write([]byte{1})
		}
		values.Write(c.bytes(cell))
	}
	both := sha256.Sum256(append(validity.Sum(nil), values.Sum(nil)...))
	return both[:]
}

func (c Column) bytes(cell any) []byte {
	little := binary.LittleEndian
	switch storage := c.Info.GetStorage(); {
	case storage == pb.Storage_STORAGE_BOOL:
		if or[bool](cell) {
			return []byte{1}
		}
		return []byte{0}
	case storage == pb.Storage_STORAGE_DOUBLE:
		return little.AppendUint64(nil, math.Float64bits(or[float64](cell)))
	case storage == pb.Storage_STORAGE_DATE:
		return little.AppendUint32(nil, uint32(or[int32](cell)))
	case storage == pb.Storage_STORAGE_STRING_LIST:
		list := or[[]string](cell)
		out := little.AppendUint32(nil, uint32(len(list)))
		for _, text := range list {
			out = little.AppendUint32(out, c.code(text))
		}
		return out
	case storage == pb.Storage_STORAGE_STRING && c.Dictionary == nil:
		text := or[string](cell)
		return append(little.AppendUint32(nil, uint32(len(text))), text...)
	case storage == pb.Storage_STORAGE_STRING:
		if cell == nil {
			return make([]byte, 4)
		}
		return little.AppendUint32(nil, c.code(cell.(string)))
	default:
		return little.AppendUint64(nil, uint64(or[int64](cell)))
	}
}
