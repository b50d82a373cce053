// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"math"
	"reflect"
	"time"
	"unicode/utf8"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// A builder collects the cells of a column from fields of structs.
type builder struct {
	Column
	valid     []bool
	positions map[string]uint32
	scales    []int // of decimals of anyScale
	local     bool  // date-times are what the clock on the wall says
	add       adder
}

// An adder appends a cell; the text says why it cannot.
type adder func(b *builder, cell reflect.Value) string

// anyScale is that of a column of decimals until all of its cells are known.
const anyScale = -1

const (
	noUTF8  = "a string is not valid UTF-8"
	noScale = "a decimal has more digits than the column"
	tooFar  = "a time is beyond what microseconds in 64 bits reach"
)

// newBuilder makes the builder for cells of a Go type in a column; the text says why
// they do not fit each other.
func newBuilder(info *pb.Column, kind reflect.Type) (*builder, string) {
	add := adderOf(info, kind)
	if add == nil {
		return nil, "cells of storage " + storageName(info.GetStorage()) + " are not made of this type"
	}
	b := &builder{Column: Column{info: info}, positions: map[string]uint32{}, add: add}
	switch info.GetStorage() {
	case pb.Storage_STORAGE_DECIMAL:
		if info.GetScale() == anyScale {
			b.scales = []int{}
		}
	case pb.Storage_STORAGE_STRING:
		b.codes, b.dictionary = []uint32{}, []string{}
	case pb.Storage_STORAGE_STRING_LIST:
		b.codes, b.dictionary, b.offsets = []uint32{}, []string{}, []uint32{0}
	}
	return b, ""
}

func (b *builder) append(cell reflect.Value) string {
	b.rows++
	b.valid = append(b.valid, true)
	return b.add(b, cell)
}

// null appends a cell that is null, which is zero or empty.
func (b *builder) null() string {
	b.valid[len(b.valid)-1] = false
	b.nulls++
	switch b.info.GetStorage() {
	case pb.Storage_STORAGE_BOOL:
		b.bools = append(b.bools, false)
	case pb.Storage_STORAGE_DOUBLE:
		b.doubles = append(b.doubles, 0)
	case pb.Storage_STORAGE_DATE:
		b.days = append(b.days, 0)
	case pb.Storage_STORAGE_STRING:
		b.codes = append(b.codes, 0)
	case pb.Storage_STORAGE_STRING_LIST:
		b.offsets = append(b.offsets, uint32(len(b.codes)))
	default:
		b.ints = append(b.ints, 0)
		if b.scales != nil {
			b.scales = append(b.scales, 0)
		}
	}
	return ""
}

func (b *builder) code(text string) (uint32, bool) {
	code, known := b.positions[text]
	if !known {
		if !utf8.ValidString(text) {
			return 0, false
		}
		code = uint32(len(b.dictionary))
		b.positions[text] = code
		b.dictionary = append(b.dictionary, text)
	}
	return code, true
}

func (b *builder) whole(value int64) string {
	b.ints = append(b.ints, value)
	return ""
}

// adderOf gives the adder of a Go type, nulls included; nil where the column has no
// such cells.
func adderOf(info *pb.Column, kind reflect.Type) adder {
	switch {
	case kind.Kind() == reflect.Pointer:
		inner := adderOf(info, kind.Elem())
		if inner == nil {
			return nil
		}
		return func(b *builder, cell reflect.Value) string {
			if cell.IsNil() {
				return b.null()
			}
			return inner(b, cell.Elem())
		}
	case isSQLNull(kind):
		inner := adderOf(info, kind.Field(0).Type)
		if inner == nil {
			return nil
		}
		return func(b *builder, cell reflect.Value) string {
			if !cell.Field(1).Bool() {
				return b.null()
			}
			return inner(b, cell.Field(0))
		}
	}
	return plainAdder(info.GetStorage(), kind)
}

func plainAdder(storage pb.Storage, kind reflect.Type) adder {
	switch storage {
	case pb.Storage_STORAGE_BOOL:
		if kind.Kind() == reflect.Bool {
			return func(b *builder, cell reflect.Value) string { b.bools = append(b.bools, cell.Bool()); return "" }
		}
	case pb.Storage_STORAGE_INT64:
		if isWhole(kind) && kind != goDuration {
			return func(b *builder, cell reflect.Value) string { return b.whole(cell.Int()) }
		}
		if isUnsigned(kind) {
			return addUnsigned
		}
	case pb.Storage_STORAGE_DOUBLE:
		if isFloat(kind) {
			return addDouble
		}
	case pb.Storage_STORAGE_DECIMAL:
		if kind == decimalType {
			return addDecimal
		}
	case pb.Storage_STORAGE_DATE, pb.Storage_STORAGE_DATETIME:
		if kind == timeType {
			return addTime
		}
	case pb.Storage_STORAGE_DURATION:
		if kind == durationType {
			return func(b *builder, cell reflect.Value) string { return b.whole(cell.Field(0).Int()) }
		}
		if kind == goDuration {
			return func(b *builder, cell reflect.Value) string {
				return b.whole(time.Duration(cell.Int()).Microseconds())
			}
		}
	case pb.Storage_STORAGE_STRING:
		if kind.Kind() == reflect.String {
			return addText
		}
	case pb.Storage_STORAGE_STRING_LIST:
		if isTexts(kind) {
			return addList
		}
	}
	return nil
}

func addUnsigned(b *builder, cell reflect.Value) string {
	if cell.Uint() > math.MaxInt64 {
		return tooLarge
	}
	return b.whole(int64(cell.Uint()))
}

func addDouble(b *builder, cell reflect.Value) string {
	number := cell.Float()
	if math.IsNaN(number) {
		number = math.Float64frombits(0x7ff8000000000000) // one of many: digests compare bits
	}
	b.doubles = append(b.doubles, number)
	return ""
}

func addDecimal(b *builder, cell reflect.Value) string {
	number := cell.Interface().(Decimal)
	if number.Scale < 0 || number.Scale > 12 {
		return "the scale of a decimal is not from 0 to 12"
	}
	if b.scales != nil {
		b.scales = append(b.scales, number.Scale)
		return b.whole(number.Unscaled)
	}
	unscaled, exact := number.rescaled(int(b.info.GetScale()))
	if !exact {
		return noScale
	}
	return b.whole(unscaled)
}

func addTime(b *builder, cell reflect.Value) string {
	moment := cell.Interface().(time.Time)
	if b.local {
		year, month, day := moment.Date()
		hour, minute, second := moment.Clock()
		moment = time.Date(year, month, day, hour, minute, second, moment.Nanosecond(), time.UTC)
	}
	if year := moment.Year(); year < -290_000 || year > 290_000 {
		return tooFar
	}
	if b.info.GetStorage() == pb.Storage_STORAGE_DATETIME {
		return b.whole(moment.UnixMicro())
	}
	year, month, day := moment.Date()
	b.days = append(b.days, int32(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix()/86400))
	return ""
}

func addText(b *builder, cell reflect.Value) string {
	code, valid := b.code(cell.String())
	if !valid {
		return noUTF8
	}
	b.codes = append(b.codes, code)
	return ""
}

func addList(b *builder, cell reflect.Value) string {
	if cell.IsNil() {
		return b.null()
	}
	for i := range cell.Len() {
		code, valid := b.code(cell.Index(i).String())
		if !valid {
			return noUTF8
		}
		b.codes = append(b.codes, code)
	}
	b.offsets = append(b.offsets, uint32(len(b.codes)))
	return ""
}

// settle ends the collecting: decimals get the scale that holds all of them, and
// strings that hardly repeat travel as they are.
func (b *builder) settle() string {
	if b.scales != nil {
		most := 0
		for i, scale := range b.scales {
			if b.valid[i] {
				most = max(most, scale)
			}
		}
		for i, scale := range b.scales {
			unscaled, exact := Decimal{b.ints[i], scale}.rescaled(most)
			if !exact {
				return tooLarge
			}
			b.ints[i] = unscaled
		}
		b.info.Scale, b.scales = int32(most), nil
	}
	if b.info.GetStorage() == pb.Storage_STORAGE_STRING && len(b.dictionary) > 1000 && len(b.dictionary) > b.rows/2 {
		b.texts = make([]string, b.rows)
		for i, code := range b.codes {
			if b.valid[i] {
				b.texts[i] = b.dictionary[code]
			}
		}
		b.codes, b.dictionary = nil, nil
	}
	b.positions = nil
	return ""
}

// slice gives cells [start, stop).
func (b *builder) slice(start, stop int) Column {
	c := Column{info: b.info, rows: stop - start, dictionary: b.dictionary}
	if b.nulls != 0 {
		c.validity = make([]byte, (c.rows+7)/8)
		for i, valid := range b.valid[start:stop] {
			if valid {
				c.validity[i/8] |= 1 << (i % 8)
			} else {
				c.nulls++
			}
		}
	}
	switch {
	case b.offsets != nil:
		first := b.offsets[start]
		c.codes = b.codes[first:b.offsets[stop]]
		c.offsets = make([]uint32, 0, c.rows+1)
		for _, offset := range b.offsets[start : stop+1] {
			c.offsets = append(c.offsets, offset-first)
		}
	case b.codes != nil:
		c.codes = b.codes[start:stop]
	case b.texts != nil:
		c.texts = b.texts[start:stop]
	case b.bools != nil:
		c.bools = b.bools[start:stop]
	case b.doubles != nil:
		c.doubles = b.doubles[start:stop]
	case b.days != nil:
		c.days = b.days[start:stop]
	default:
		c.ints = b.ints[start:stop]
	}
	return c
}
