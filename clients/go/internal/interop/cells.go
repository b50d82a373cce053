// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/kohort-health/kohort/clients/go/kohort"
)

// cellTexts gives every cell in the canonical form: nil for null, a list of strings
// for a list, else a string.
func cellTexts(column *kohort.Column) []any {
	cells := make([]any, column.Len())
	for i := range cells {
		cells[i] = cellText(column, column.Value(i))
	}
	return cells
}

func cellText(column *kohort.Column, value any) any {
	switch value := value.(type) {
	case bool:
		return strconv.FormatBool(value)
	case int64:
		return strconv.FormatInt(value, 10)
	case float64: // its 64 bits: no two languages write floats alike
		return fmt.Sprintf("%016x", math.Float64bits(value))
	case kohort.Decimal:
		return value.String()
	case kohort.Duration:
		return kohort.Decimal{Unscaled: value.Microseconds, Scale: 6}.String() + "s"
	case time.Time:
		if column.Days() != nil {
			return value.Format(time.DateOnly)
		}
		text := value.Format("2006-01-02T15:04:05.000000")
		if column.Info().GetTimeZone() != "" {
			text += "Z"
		}
		return text
	default: // a string, a list or nil
		return value
	}
}
