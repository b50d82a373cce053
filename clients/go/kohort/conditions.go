// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"math"
	"reflect"
	"strconv"
	"time"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// A Condition is what every row of a [Sample] satisfies, together with all others.
// Make one with [Equals], [OneOf], [Between], [IsNull] or [NotNull].
//
// Its values are strings, booleans, whole and binary numbers, [Decimal],
// [time.Time], [Duration], [time.Duration] or a text of the form that CSV has:
// "2026-01-31" for a date. A time.Time is told in UTC, as cells are; midnight means
// the whole day.
type Condition struct {
	message *pb.Condition
	wrong   error
}

// In names the table of the column where a model has several.
func (c Condition) In(table string) Condition {
	if c.message != nil {
		c.message = &pb.Condition{Table: table, Column: c.message.GetColumn(), Test: c.message.GetTest()}
	}
	return c
}

func (c Condition) applySample(s *Sample) error {
	if c.message == nil && c.wrong == nil {
		return wrongUse("a condition is empty: make one with Equals, OneOf, Between, IsNull or NotNull")
	}
	if c.wrong == nil {
		s.asked.Conditions = append(s.asked.Conditions, c.message)
	}
	return c.wrong
}

// Equals asks for one value.
func Equals(column string, value any) Condition {
	return OneOf(column, value)
}

// OneOf asks for one of some values.
func OneOf(column string, values ...any) Condition {
	set := &pb.ValueSet{}
	for _, value := range values {
		text, err := cellText(column, value)
		if err != nil {
			return Condition{wrong: err}
		}
		set.Values = append(set.Values, text)
	}
	if len(values) == 0 {
		return Condition{wrong: wrongUse("%s: a set of values is empty", column)}
	}
	return Condition{message: &pb.Condition{Column: column, Test: &pb.Condition_OneOf{OneOf: set}}}
}

// Between asks for a value from low to high, both inclusive; nil is no bound.
func Between(column string, low, high any) Condition {
	within := &pb.ValueRange{}
	for _, bound := range []struct {
		value any
		field **string
	}{{low, &within.Minimum}, {high, &within.Maximum}} {
		if bound.value == nil {
			continue
		}
		text, err := cellText(column, bound.value)
		if err != nil {
			return Condition{wrong: err}
		}
		*bound.field = &text
	}
	if low == nil && high == nil {
		return Condition{wrong: wrongUse("%s: a range has a bound at least", column)}
	}
	return Condition{message: &pb.Condition{Column: column, Test: &pb.Condition_Range{Range: within}}}
}

// IsNull asks for rows without a value in the column.
func IsNull(column string) Condition { return nullness(column, true) }

// NotNull asks for rows with a value in the column.
func NotNull(column string) Condition { return nullness(column, false) }

func nullness(column string, null bool) Condition {
	return Condition{message: &pb.Condition{Column: column, Test: &pb.Condition_IsNull{IsNull: null}}}
}

// Rebalance draws the values of one column in these shares instead of the learned
// ones: weights by value, divided by their sum. Values that are not named are not
// drawn. A model of several tables needs [RebalanceIn].
func Rebalance[V comparable](column string, shares map[V]float64) SampleOption {
	return RebalanceIn("", column, shares)
}

// RebalanceIn is [Rebalance] for a column of one of several tables.
func RebalanceIn[V comparable](table, column string, shares map[V]float64) SampleOption {
	return sampleOption(func(s *Sample) error {
		if s.asked.Rebalancing != nil {
			return wrongUse("one column can be rebalanced at a time")
		}
		texts := make(map[string]float64, len(shares))
		for value, share := range shares {
			text, err := cellText(column, value)
			if err != nil {
				return err
			}
			texts[text] = share
		}
		s.asked.Rebalancing = &pb.Rebalancing{Table: table, Column: column, Shares: texts}
		return nil
	})
}

// cellText is the text of a value, as CSV writes it. Errors name the column and the
// type, never the value.
func cellText(column string, value any) (string, error) {
	switch value := value.(type) {
	case Decimal:
		return value.String(), nil
	case Duration:
		return value.String(), nil
	case time.Duration:
		return DurationOf(value).String(), nil
	case time.Time:
		if value.Location() == time.UTC && value.Equal(value.Truncate(24*time.Hour)) {
			return value.Format(time.DateOnly), nil
		}
		// Without a zone: a column that has one takes it as UTC, others take no zone.
		return string(appendMoment(nil, value.UnixMicro(), "")), nil
	}
	switch cell := reflect.ValueOf(value); cell.Kind() {
	case reflect.String:
		return cell.String(), nil
	case reflect.Bool:
		return strconv.FormatBool(cell.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(cell.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(cell.Uint(), 10), nil
	case reflect.Float32, reflect.Float64:
		if number := cell.Float(); !math.IsNaN(number) && !math.IsInf(number, 0) {
			bits := 64
			if cell.Kind() == reflect.Float32 {
				bits = 32
			}
			return strconv.FormatFloat(number, 'g', -1, bits), nil
		}
		return "", wrongUse("%s: no cell is infinite or no number", column)
	}
	if value == nil {
		return "", wrongUse("%s: for cells without a value there are IsNull and NotNull", column)
	}
	return "", wrongUse("%s: no cell can have a value of type %T", column, value)
}
