// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"database/sql"
	"reflect"
	"strings"
	"time"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// A setter writes cell i into a value; the text says why it cannot.
type setter func(to reflect.Value, c *Column, i int) string

// A filler writes all cells, each where target says; the text says why it cannot.
type filler func(target func(int) reflect.Value, c *Column) string

const (
	isNull    = "a cell is null: make it a pointer or a sql.Null"
	tooLarge  = "a number does not fit the type"
	tooLong   = "a duration does not fit time.Duration: use kohort.Duration"
	sqlPrefix = "Null["
)

var (
	timeType     = reflect.TypeFor[time.Time]()
	goDuration   = reflect.TypeFor[time.Duration]()
	durationType = reflect.TypeFor[Duration]()
	decimalType  = reflect.TypeFor[Decimal]()
	sqlPackage   = reflect.TypeFor[sql.NullTime]().PkgPath()
)

// isSQLNull tells whether the type is a sql.Null of something.
func isSQLNull(kind reflect.Type) bool {
	return kind.PkgPath() == sqlPackage && strings.HasPrefix(kind.Name(), sqlPrefix)
}

func isWhole(kind reflect.Type) bool {
	return kind.Kind() >= reflect.Int && kind.Kind() <= reflect.Int64
}

func isUnsigned(kind reflect.Type) bool {
	return kind.Kind() >= reflect.Uint && kind.Kind() <= reflect.Uint64
}

func isFloat(kind reflect.Type) bool {
	return kind.Kind() == reflect.Float32 || kind.Kind() == reflect.Float64
}

func isTexts(kind reflect.Type) bool {
	return kind.Kind() == reflect.Slice && kind.Elem().Kind() == reflect.String
}

// fillerOf gives the filler of a column and a type. The text says why they do not
// fit each other.
func fillerOf(info *pb.Column, kind reflect.Type) (filler, string) {
	if kind.Kind() == reflect.Pointer {
		inner, wrong := setterOf(info, kind.Elem())
		if wrong != "" {
			return nil, wrong
		}
		return func(target func(int) reflect.Value, c *Column) string {
			// One allocation for all cells of a batch.
			values := reflect.MakeSlice(reflect.SliceOf(kind.Elem()), c.rows, c.rows)
			for i := range c.rows {
				if c.IsNull(i) {
					continue
				}
				value := values.Index(i)
				if wrong := inner(value, c, i); wrong != "" {
					return wrong
				}
				target(i).Set(value.Addr())
			}
			return ""
		}, ""
	}
	set, wrong := setterOf(info, kind)
	if wrong != "" {
		return nil, wrong
	}
	return func(target func(int) reflect.Value, c *Column) string {
		for i := range c.rows {
			if wrong := set(target(i), c, i); wrong != "" {
				return wrong
			}
		}
		return ""
	}, ""
}

// setterOf gives the setter of a column and a type, nulls included.
func setterOf(info *pb.Column, kind reflect.Type) (setter, string) {
	switch {
	case kind.Kind() == reflect.Pointer:
		inner, wrong := setterOf(info, kind.Elem())
		return func(to reflect.Value, c *Column, i int) string {
			if c.IsNull(i) {
				to.SetZero()
				return ""
			}
			value := reflect.New(kind.Elem())
			to.Set(value)
			return inner(value.Elem(), c, i)
		}, wrong
	case isSQLNull(kind):
		inner, wrong := setterOf(info, kind.Field(0).Type)
		return func(to reflect.Value, c *Column, i int) string {
			if c.IsNull(i) {
				to.SetZero()
				return ""
			}
			to.Field(1).SetBool(true)
			return inner(to.Field(0), c, i)
		}, wrong
	case kind.Kind() == reflect.Interface && kind.NumMethod() == 0:
		return func(to reflect.Value, c *Column, i int) string {
			if value := c.Value(i); value != nil {
				to.Set(reflect.ValueOf(value))
			} else {
				to.SetZero()
			}
			return ""
		}, ""
	}
	set := plainSetter(info.GetStorage(), kind)
	if set == nil {
		return nil, "this type does not hold cells of storage " + storageName(info.GetStorage())
	}
	if info.GetStorage() == pb.Storage_STORAGE_STRING_LIST {
		return set, "" // a slice can be nil
	}
	return func(to reflect.Value, c *Column, i int) string {
		if c.IsNull(i) {
			return isNull
		}
		return set(to, c, i)
	}, ""
}

// plainSetter gives the setter for cells that are not null; nil where the type does
// not hold them.
func plainSetter(storage pb.Storage, kind reflect.Type) setter {
	switch storage {
	case pb.Storage_STORAGE_BOOL:
		if kind.Kind() == reflect.Bool {
			return func(to reflect.Value, c *Column, i int) string { to.SetBool(c.bools[i]); return "" }
		}
	case pb.Storage_STORAGE_INT64:
		if isWhole(kind) && kind != goDuration {
			return setInt
		}
		if isUnsigned(kind) {
			return setUint
		}
	case pb.Storage_STORAGE_DOUBLE:
		if isFloat(kind) {
			return func(to reflect.Value, c *Column, i int) string { return setFloat(to, c.doubles[i]) }
		}
	case pb.Storage_STORAGE_DECIMAL:
		if kind == decimalType {
			return func(to reflect.Value, c *Column, i int) string {
				*to.Addr().Interface().(*Decimal) = c.Decimal(i)
				return ""
			}
		}
		if isFloat(kind) {
			return func(to reflect.Value, c *Column, i int) string { return setFloat(to, c.Decimal(i).Float64()) }
		}
	case pb.Storage_STORAGE_DATE, pb.Storage_STORAGE_DATETIME:
		if kind == timeType {
			return func(to reflect.Value, c *Column, i int) string {
				*to.Addr().Interface().(*time.Time) = c.Time(i)
				return ""
			}
		}
	case pb.Storage_STORAGE_DURATION:
		if kind == durationType {
			return func(to reflect.Value, c *Column, i int) string {
				*to.Addr().Interface().(*Duration) = c.Duration(i)
				return ""
			}
		}
		if kind == goDuration {
			return setGoDuration
		}
	case pb.Storage_STORAGE_STRING:
		if kind.Kind() == reflect.String {
			return func(to reflect.Value, c *Column, i int) string { to.SetString(c.Text(i)); return "" }
		}
	case pb.Storage_STORAGE_STRING_LIST:
		if isTexts(kind) {
			return setList
		}
	}
	return nil
}

func setInt(to reflect.Value, c *Column, i int) string {
	if to.OverflowInt(c.ints[i]) {
		return tooLarge
	}
	to.SetInt(c.ints[i])
	return ""
}

func setUint(to reflect.Value, c *Column, i int) string {
	if c.ints[i] < 0 || to.OverflowUint(uint64(c.ints[i])) {
		return tooLarge
	}
	to.SetUint(uint64(c.ints[i]))
	return ""
}

func setFloat(to reflect.Value, number float64) string {
	if to.OverflowFloat(number) {
		return tooLarge
	}
	to.SetFloat(number)
	return ""
}

func setGoDuration(to reflect.Value, c *Column, i int) string {
	length, fits := c.Duration(i).Duration()
	if !fits {
		return tooLong
	}
	to.SetInt(int64(length))
	return ""
}

func setList(to reflect.Value, c *Column, i int) string {
	if c.IsNull(i) {
		to.SetZero()
		return ""
	}
	codes := c.codes[c.offsets[i]:c.offsets[i+1]]
	list := reflect.MakeSlice(to.Type(), len(codes), len(codes))
	for k, code := range codes {
		list.Index(k).SetString(c.dictionary[code])
	}
	to.Set(list)
	return ""
}
