// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"fmt"
	"iter"
	"reflect"
)

// A Row is one row of a batch. It stays valid, and keeps its batch in memory.
type Row struct {
	batch *Batch
	index int
}

// Rows reads the rows one after another, of all tables where there are several. An
// error is the last thing that it gives; see [Sample.Batches].
func (s *Sample) Rows(ctx context.Context) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for batch, err := range s.Batches(ctx) {
			if err != nil {
				yield(Row{}, err)
				return
			}
			for i := range batch.Len() {
				if !yield(Row{batch, i}, nil) {
					return
				}
			}
		}
	}
}

// Table is the name of the row's table.
func (r Row) Table() string { return r.batch.Table() }

// Columns are the names of the columns, in order. All rows share them: do not change
// them.
func (r Row) Columns() []string { return r.batch.table.names }

// Has tells whether there is a column of that name.
func (r Row) Has(column string) bool { return r.batch.Column(column) != nil }

// IsNull tells whether the cell is null. It panics where there is no such column.
func (r Row) IsNull(column string) bool { return r.column(column).IsNull(r.index) }

// Value is the cell of a column as [Column.Value] gives it: nil where it is null. It
// panics where there is no such column; [Cell] gives typed cells and errors.
func (r Row) Value(column string) any { return r.column(column).Value(r.index) }

// Values are all cells, in order.
func (r Row) Values() []any {
	cells := make([]any, len(r.batch.columns))
	for i := range cells {
		cells[i] = r.batch.columns[i].Value(r.index)
	}
	return cells
}

func (r Row) column(name string) *Column {
	column := r.batch.Column(name)
	if column == nil {
		panic(fmt.Sprintf("kohort: the table %s has no column %s", r.Table(), name))
	}
	return column
}

// Cell is one cell of a row in a type of the caller's, as fields of structs have
// them ([Rows]): Cell[int](row, "age"), Cell[*float64](row, "bmi") where it may be
// null. The error is a [MappingError].
func Cell[T any](row Row, column string) (T, error) {
	var cell T
	target := reflect.ValueOf(&cell).Elem()
	found := row.batch.Column(column)
	if found == nil {
		return cell, &MappingError{
			Table: row.Table(), Column: column, Type: target.Type().String(), Message: noColumn,
		}
	}
	set, wrong := setterOf(found.info, target.Type())
	if wrong == "" {
		wrong = set(target, found, row.index)
	}
	if wrong != "" {
		return cell, &MappingError{Table: row.Table(), Column: column, Type: target.Type().String(), Message: wrong}
	}
	return cell, nil
}
