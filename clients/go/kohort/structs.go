// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"fmt"
	"iter"
	"reflect"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// Rows reads the rows into structs. Fields with a tag `kohort:"column"` are filled;
// columns without a field, and fields without a tag, are left alone. Structs that are
// embedded count with their fields.
//
//	type Patient struct {
//		Age   int      `kohort:"age"`
//		Sex   string   `kohort:"sex"`
//		BMI   *float64 `kohort:"bmi"` // may be null
//	}
//
// Whole numbers go into any type of integers that holds them, binary numbers into
// floats, decimals into [Decimal] or floats, dates and times into [time.Time],
// durations into [Duration] or [time.Duration], strings into types of strings, lists
// into slices of those. A cell that is null needs a pointer, a sql.Null or, for a list,
// a slice. Fields of type any take all, as [Column.Value] gives it.
//
// What does not fit ends the reading with a [MappingError], before any row of the batch.
// A model of several tables needs [OnlyTable].
func Rows[T any](ctx context.Context, sample *Sample) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		var plan *rowPlan
		var rows []T
		for batch, err := range sample.batches(ctx, true) {
			if err == nil && plan == nil {
				plan, err = planRows(reflect.TypeFor[T](), batch.Schema())
			}
			if err == nil {
				// Used again by the next batch: what is handed on is a copy.
				if rows = rows[:0]; cap(rows) < batch.Len() {
					rows = make([]T, 0, batch.Len())
				}
				rows = rows[:batch.Len()]
				clear(rows)
				err = plan.fill(reflect.ValueOf(rows), batch)
			}
			if err != nil {
				yield(none, err)
				return
			}
			for i := range rows {
				if !yield(rows[i], nil) {
					return
				}
			}
		}
	}
}

// Collect reads all rows into a slice of structs; see [Rows].
func Collect[T any](ctx context.Context, sample *Sample) ([]T, error) {
	var rows []T
	for row, err := range Rows[T](ctx, sample) {
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// A MappingError says that a column does not fit the field that is to hold it.
type MappingError struct {
	// Table and Column are those of the data.
	Table, Column string
	// Field is that of the struct, such as "Patient.Age"; empty for [Cell].
	Field string
	// Type is the type of the field.
	Type string
	// Message is for people. It never holds a cell value.
	Message string
}

// Error names column, field and what does not fit.
func (e *MappingError) Error() string {
	where := e.Type
	if e.Field != "" {
		where = fmt.Sprintf("field %s (%s)", e.Field, e.Type)
	}
	return fmt.Sprintf("kohort: column %s.%s into %s: %s", e.Table, e.Column, where, e.Message)
}

// rowPlan tells how the rows of one table fill a type of structs.
type rowPlan struct {
	table  string
	fields []plannedField
}

type plannedField struct {
	column int
	field  field
	fill   filler
}

const noColumn = "there is no such column"

// A field is an exported field of a struct with a tag.
type field struct {
	path   []int
	name   string // of struct and field
	column string
	date   bool // uploads a time as its day
	local  bool // uploads a time as its clock on the wall
	kind   reflect.Type
}

func planRows(kind reflect.Type, schema *pb.TableSchema) (*rowPlan, error) {
	fields, err := fieldsOf(kind)
	if err != nil {
		return nil, err
	}
	plan := &rowPlan{table: schema.GetName()}
	for _, field := range fields {
		column, wrong := -1, noColumn
		for i, info := range schema.GetColumns() {
			if info.GetName() == field.column {
				column, wrong = i, ""
			}
		}
		var fill filler
		if wrong == "" {
			fill, wrong = fillerOf(schema.GetColumns()[column], field.kind)
		}
		if wrong != "" {
			return nil, plan.mismatch(field, wrong)
		}
		plan.fields = append(plan.fields, plannedField{column, field, fill})
	}
	return plan, nil
}

// fill writes a batch into as many zero structs, column by column.
func (p *rowPlan) fill(rows reflect.Value, batch *Batch) error {
	for _, planned := range p.fields {
		path := planned.field.path
		target := func(i int) reflect.Value { return rows.Index(i).FieldByIndex(path) }
		if len(path) == 1 {
			target = func(i int) reflect.Value { return rows.Index(i).Field(path[0]) }
		}
		if wrong := planned.fill(target, &batch.columns[planned.column]); wrong != "" {
			return p.mismatch(planned.field, wrong)
		}
	}
	return nil
}

func (p *rowPlan) mismatch(field field, wrong string) error {
	return &MappingError{
		Table: p.table, Column: field.column, Field: field.name, Type: field.kind.String(), Message: wrong,
	}
}
