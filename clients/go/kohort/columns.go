// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"time"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// A Column holds the cells of one column of a batch, in typed slices that
// belong to the caller. The cells are where its storage says; the other slices
// are nil, and the accessors of a single cell panic where they do not fit.
//
// The cells that are null hold zero, "" or an empty list there: ask IsNull.
type Column struct {
	info       *pb.Column
	rows       int
	nulls      int
	validity   []byte // a bit per cell, nil where none is null
	bools      []bool
	ints       []int64
	doubles    []float64
	days       []int32
	codes      []uint32
	offsets    []uint32
	texts      []string
	dictionary []string
}

// Info tells what the column is: name, kind, storage, scale, time zone.
func (c *Column) Info() *pb.Column { return c.info }

// Name is the column's name.
func (c *Column) Name() string { return c.info.GetName() }

// Len counts the cells.
func (c *Column) Len() int { return c.rows }

// Nulls counts the cells that are null.
func (c *Column) Nulls() int { return c.nulls }

// IsNull tells whether cell i is null.
func (c *Column) IsNull(i int) bool {
	return c.nulls != 0 && c.validity[i>>3]>>(i&7)&1 == 0
}

// Bools are the cells of a column of booleans.
func (c *Column) Bools() []bool { return c.bools }

// Ints are the cells of a column of whole numbers, and what others are made of:
// decimals times 10^scale, date-times as microseconds since 1970-01-01T00:00:00
// (in UTC where the column has a time zone) and durations as microseconds.
func (c *Column) Ints() []int64 { return c.ints }

// Floats are the cells of a column of binary numbers.
func (c *Column) Floats() []float64 { return c.doubles }

// Days are the cells of a column of dates: days since 1970-01-01.
func (c *Column) Days() []int32 { return c.days }

// Codes are positions in the Dictionary: one per cell of a column of strings, or
// those of all lists one after another. Nil where the strings came as they are.
func (c *Column) Codes() []uint32 { return c.codes }

// Dictionary are the distinct strings that Codes refer to. All batches of a
// stream share it: do not change it.
func (c *Column) Dictionary() []string { return c.dictionary }

// Bool is cell i of a column of booleans.
func (c *Column) Bool(i int) bool { return c.bools[i] }

// Int is cell i of a column of whole numbers; see Ints for others.
func (c *Column) Int(i int) int64 { return c.ints[i] }

// Float is cell i of a column of binary numbers.
func (c *Column) Float(i int) float64 { return c.doubles[i] }

// Decimal is cell i of a column of decimals.
func (c *Column) Decimal(i int) Decimal {
	return Decimal{c.ints[i], int(c.info.GetScale())}
}

// Duration is cell i of a column of durations.
func (c *Column) Duration(i int) Duration { return Duration{c.ints[i]} }

// Time is cell i of a column of dates (midnight in UTC) or date-times (an instant
// where the column has a time zone, else the clock on the wall, told as UTC).
func (c *Column) Time(i int) time.Time {
	if c.days != nil {
		return time.Unix(int64(c.days[i])*86400, 0).UTC()
	}
	return time.UnixMicro(c.ints[i]).UTC()
}

// Text is cell i of a column of strings.
func (c *Column) Text(i int) string {
	if c.codes == nil {
		return c.texts[i]
	}
	code := c.codes[i]
	if code == 0 && len(c.dictionary) == 0 {
		return "" // a column in which every cell is null
	}
	return c.dictionary[code]
}

// List is cell i of a column of lists: nil where it is null, not nil where it is
// empty.
func (c *Column) List(i int) []string {
	if c.IsNull(i) {
		return nil
	}
	codes := c.codes[c.offsets[i]:c.offsets[i+1]]
	list := make([]string, len(codes))
	for k, code := range codes {
		list[k] = c.dictionary[code]
	}
	return list
}

// Value is cell i as bool, int64, float64, [Decimal], [time.Time], [Duration],
// string or []string; nil where it is null.
func (c *Column) Value(i int) any {
	if c.IsNull(i) {
		return nil
	}
	switch c.info.GetStorage() {
	case pb.Storage_STORAGE_BOOL:
		return c.Bool(i)
	case pb.Storage_STORAGE_INT64:
		return c.Int(i)
	case pb.Storage_STORAGE_DOUBLE:
		return c.Float(i)
	case pb.Storage_STORAGE_DECIMAL:
		return c.Decimal(i)
	case pb.Storage_STORAGE_DATE, pb.Storage_STORAGE_DATETIME:
		return c.Time(i)
	case pb.Storage_STORAGE_DURATION:
		return c.Duration(i)
	case pb.Storage_STORAGE_STRING_LIST:
		return c.List(i)
	default:
		return c.Text(i)
	}
}
