// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"reflect"
	"strings"
	"sync"
)

// known keeps the fields of the types of structs that were met.
var known sync.Map // reflect.Type → []field

// fieldsOf gives the fields with a tag, in order.
func fieldsOf(kind reflect.Type) ([]field, error) {
	if found, met := known.Load(kind); met {
		return found.([]field), nil
	}
	if kind.Kind() != reflect.Struct {
		return nil, wrongUse("rows are structs, not %s", kind)
	}
	fields, err := taggedFields(kind, kind, nil)
	if err != nil {
		return nil, err
	}
	if len(fields) == 0 {
		return nil, wrongUse("%s has no exported field with a tag `kohort:\"column\"`", kind)
	}
	columns := map[string]string{}
	for _, field := range fields {
		if other, twice := columns[field.column]; twice {
			return nil, wrongUse("the column %s has two fields: %s and %s", field.column, other, field.name)
		}
		columns[field.column] = field.name
	}
	known.Store(kind, fields)
	return fields, nil
}

func taggedFields(whole, kind reflect.Type, path []int) ([]field, error) {
	var fields []field
	for i := range kind.NumField() {
		at := append(path[:len(path):len(path)], i)
		one := kind.Field(i)
		tag, tagged := one.Tag.Lookup("kohort")
		if one.Anonymous && !tagged && one.Type.Kind() == reflect.Struct {
			inner, err := taggedFields(whole, one.Type, at)
			if err != nil {
				return nil, err
			}
			fields = append(fields, inner...)
			continue
		}
		if !tagged || tag == "-" {
			continue
		}
		name := whole.Name() + "." + one.Name
		// What else follows a comma belongs to the name: columns may have any.
		column, date := strings.CutSuffix(tag, ",date")
		column, local := strings.CutSuffix(column, ",local")
		switch {
		case !one.IsExported() || column == "":
			return nil, wrongUse("the field %s has a tag, but is not exported or names no column", name)
		case date && local:
			return nil, wrongUse("the field %s cannot be both a date and local", name)
		}
		fields = append(fields, field{at, name, column, date, local, one.Type})
	}
	return fields, nil
}
