// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"strconv"
	"time"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// cellTexts gives every cell in the canonical form of tests/interop/canonical.py:
// nil for null, a list of strings for a list, else a string.
func cellTexts(column *pb.Column, data *pb.ColumnData, rows int, dictionary []string) ([]any, error) {
	count, text := cellReader(column, data, dictionary)
	if text == nil || count != rows {
		return nil, fmt.Errorf("%s: the cells do not fit the schema", column.GetName())
	}
	if bits := len(data.GetValidity()); bits != 0 && bits != (rows+7)/8 {
		return nil, fmt.Errorf("%s: the validity bitmap has the wrong length", column.GetName())
	}
	cells := make([]any, rows)
	for i := range cells {
		if isValid(data, i) {
			cells[i] = text(i)
		}
	}
	return cells, nil
}

// cellReader gives the number of cells and a function for the text of one, or
// nil where the values are not those of the column's storage.
func cellReader(column *pb.Column, data *pb.ColumnData, dictionary []string) (int, func(int) any) {
	switch storage := column.GetStorage(); values := data.GetValues().(type) {
	case *pb.ColumnData_Bools:
		if v := values.Bools.GetValues(); storage == pb.Storage_STORAGE_BOOL {
			return len(v), func(i int) any { return strconv.FormatBool(v[i]) }
		}
	case *pb.ColumnData_Int64S:
		v := values.Int64S.GetValues()
		switch storage {
		case pb.Storage_STORAGE_INT64:
			return len(v), func(i int) any { return strconv.FormatInt(v[i], 10) }
		case pb.Storage_STORAGE_DECIMAL:
			return len(v), func(i int) any { return decimal(v[i], int(column.GetScale())) }
		case pb.Storage_STORAGE_DURATION:
			return len(v), func(i int) any { return decimal(v[i], 6) + "s" }
		case pb.Storage_STORAGE_DATETIME:
			zone := ""
			if column.GetTimeZone() != "" {
				zone = "Z"
			}
			return len(v), func(i int) any {
				return time.UnixMicro(v[i]).UTC().Format("2006-01-02T15:04:05.000000") + zone
			}
		}
	case *pb.ColumnData_Doubles:
		if v := values.Doubles.GetValues(); storage == pb.Storage_STORAGE_DOUBLE {
			return len(v), func(i int) any { return fmt.Sprintf("%016x", math.Float64bits(v[i])) }
		}
	case *pb.ColumnData_Dates:
		if v := values.Dates.GetValues(); storage == pb.Storage_STORAGE_DATE {
			return len(v), func(i int) any {
				return time.Unix(int64(v[i])*86400, 0).UTC().Format(time.DateOnly)
			}
		}
	case *pb.ColumnData_Indices:
		if v := values.Indices.GetValues(); storage == pb.Storage_STORAGE_STRING {
			return len(v), func(i int) any { return dictionary[v[i]] }
		}
	case *pb.ColumnData_Strings:
		if v := values.Strings.GetValues(); storage == pb.Storage_STORAGE_STRING {
			return len(v), func(i int) any { return v[i] }
		}
	case *pb.ColumnData_Lists:
		v, offsets := values.Lists.GetValues(), values.Lists.GetOffsets()
		if storage == pb.Storage_STORAGE_STRING_LIST {
			return len(offsets) - 1, func(i int) any {
				list := []string{}
				for _, index := range v[offsets[i]:offsets[i+1]] {
					list = append(list, dictionary[index])
				}
				return list
			}
		}
	}
	return 0, nil
}

// decimal writes value / 10^scale with exactly scale digits after the point.
func decimal(value int64, scale int) string {
	sign, magnitude := "", uint64(value)
	if value < 0 {
		sign, magnitude = "-", -magnitude
	}
	digits := fmt.Sprintf("%0*d", scale+1, magnitude)
	if scale == 0 {
		return sign + digits
	}
	point := len(digits) - scale
	return sign + digits[:point] + "." + digits[point:]
}
