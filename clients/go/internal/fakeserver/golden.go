// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package fakeserver

import (
	"fmt"
	"math"
	"strings"
	"time"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// GoldenUnits is how many units the golden model has rows for.
const GoldenUnits = 2600

func day(year int, month time.Month, date int) int32 {
	return int32(time.Date(year, month, date, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

func column(name string, storage pb.Storage, cells ...any) Column {
	return Column{Info: &pb.Column{Name: name, Storage: storage, Nullable: true}, Cells: cells}
}

func (c Column) scaled(scale int32) Column {
	c.Info.Scale = scale
	return c
}

func (c Column) zoned(zone string) Column {
	c.Info.TimeZone = zone
	return c
}

func (c Column) coded(dictionary ...string) Column {
	c.Dictionary, c.codes = append([]string{}, dictionary...), map[string]uint32{}
	for i, text := range dictionary {
		c.codes[text] = uint32(i)
	}
	return c
}

// Golden is a model of everything that travels badly: every storage, nulls, unicode,
// years 1 and 9999, 64-bit extremes, no number, empty strings, lists, a dictionary of
// several chunks, a table whose units have no row, one or two.
func Golden() *Model {
	const largest, smallest = math.MaxInt64, math.MinInt64
	var ids, codes []any
	var codebook []string
	for i := range GoldenUnits {
		ids = append(ids, fmt.Sprintf("syn-%06d", i))
	}
	for i := range 500 {
		codebook = append(codebook, fmt.Sprintf("C%05d", i))
		codes = append(codes, fmt.Sprintf("C%05d", i*7%500))
	}
	wards := []string{"", "Ward A", "Zürich – Öst", "日本語", "👩🏽‍⚕️", "e\u0301", `a"b\c`, "line\nbreak\ttab\r", "nul\x00", "\u2028 \ufeff"}
	remarks := []any{"", nil, strings.Repeat("ü", 70)}
	var wardCells []any
	for _, ward := range wards {
		wardCells = append(wardCells, ward)
		remarks = append(remarks, ward)
	}
	wardCells = append(wardCells, nil)
	times := []any{
		time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro(),
		time.Date(1969, 12, 31, 23, 59, 59, 1000, time.UTC).UnixMicro(),
		time.Date(2262, 4, 12, 0, 0, 0, 0, time.UTC).UnixMicro(),
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC).UnixMicro(),
	}
	i64 := func(values ...int64) (cells []any) {
		for _, v := range values {
			cells = append(cells, v)
		}
		return cells
	}
	patients := Table{Name: "patients", Columns: []Column{
		column("id", pb.Storage_STORAGE_STRING, ids...),
		column("alive", pb.Storage_STORAGE_BOOL, true, nil, false),
		column("seen", pb.Storage_STORAGE_BOOL, true, false),
		column("count", pb.Storage_STORAGE_INT64, append(i64(0, -1, largest, smallest, 1<<53+1), nil)...),
		column("ratio", pb.Storage_STORAGE_DOUBLE, math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 5e-324, math.MaxFloat64, 0.1, nil),
		column("dose", pb.Storage_STORAGE_DECIMAL, append(i64(0, -1, 5, -250, largest, smallest), nil)...).scaled(2),
		column("whole", pb.Storage_STORAGE_DECIMAL, i64(7, -7, smallest)...),
		column("trace", pb.Storage_STORAGE_DECIMAL, append(i64(1, -1e12, largest), nil)...).scaled(12),
		column("born", pb.Storage_STORAGE_DATE, int32(0), int32(-1), nil, day(1, 1, 1), day(1582, 10, 4), day(2795, 2, 28), day(9999, 12, 31)),
		column("local", pb.Storage_STORAGE_DATETIME, append(append(i64(0, -1), times...), nil)...),
		column("moment", pb.Storage_STORAGE_DATETIME, append([]any{nil}, times...)...).zoned("Europe/Zurich"),
		column("stay", pb.Storage_STORAGE_DURATION, append(i64(0, 1, -90_000_001, largest, smallest), nil)...),
		column("ward", pb.Storage_STORAGE_STRING, wardCells...).coded(wards...),
		column("code", pb.Storage_STORAGE_STRING, codes...).coded(codebook...),
		column("remark", pb.Storage_STORAGE_STRING, remarks...),
		column("never", pb.Storage_STORAGE_STRING, nil).coded(),
		column("drugs", pb.Storage_STORAGE_STRING_LIST,
			[]string{}, nil, []string{"aspirin"}, []string{"δ", "", "naïve", "δ"}, []string{"naïve", "naïve"},
		).coded("aspirin", "", "naïve", "δ"),
	}}
	visits := Table{Name: "visits", RowsBefore: func(unit int64) int64 { // unit i has i mod 3
		return unit/3*3 + unit%3*(unit%3-1)/2
	}, Columns: []Column{
		column("at", pb.Storage_STORAGE_DATETIME, append(times, int64(12_345))...),
		column("code", pb.Storage_STORAGE_STRING, append(codes[:50:50], nil)...).coded(codebook...),
	}}
	// No multiple of 8: validity bitmaps end within a byte.
	return &Model{Tables: []Table{patients, visits}, UnitsPerBatch: 397, StringsPerChunk: 170}
}

// Heart is a small model of one table, for examples.
func Heart() *Model {
	return &Model{UnitsPerBatch: 4, StringsPerChunk: 100, Tables: []Table{{Name: "heart", Columns: []Column{
		column("age", pb.Storage_STORAGE_INT64, int64(63), int64(41), int64(57)),
		column("sex", pb.Storage_STORAGE_STRING, "M", "F").coded("F", "M"),
		column("oldpeak", pb.Storage_STORAGE_DECIMAL, int64(23), nil, int64(8), int64(14)).scaled(1),
		column("admitted", pb.Storage_STORAGE_DATE, day(2031, 5, 4), day(2031, 6, 30)),
	}}}}
}
