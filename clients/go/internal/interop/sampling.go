// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/hex"
	"errors"
	"strconv"
	"time"

	"github.com/kohort-health/kohort/clients/go/kohort"
)

// request reads MODEL START COUNT SEED, and COLUMN VALUE COLUMN LOW HIGH or nothing.
func (d *driver) request(words []string) (*kohort.Sample, error) {
	var numbers [3]int64
	for i := range numbers {
		var err error
		if numbers[i], err = d.whole(i + 1); err != nil {
			return nil, err
		}
	}
	options := []kohort.SampleOption{kohort.StartUnit(numbers[0]), kohort.Seed(numbers[2])}
	if len(words) == 5 {
		options = append(options, kohort.Equals(words[0], words[1]), kohort.Between(words[2], words[3], words[4]))
	} else if len(words) != 0 {
		return nil, errors.New("conditions are COLUMN VALUE COLUMN LOW HIGH")
	}
	return d.client.Sample(d.words[0], numbers[1], options...), nil
}

// sample gives every cell.
func (d *driver) sample() (any, error) {
	sample, err := d.request(d.words[4:])
	if err != nil {
		return nil, err
	}
	ctx, cancel := d.deadline()
	defer cancel()
	tables := map[string]map[string][]any{}
	var next int64
	for batch, err := range sample.Batches(ctx) {
		if err != nil {
			return nil, err
		}
		if len(tables) == 0 {
			for _, table := range sample.Header().GetSchema().GetTables() {
				tables[table.GetName()] = map[string][]any{}
				for _, column := range table.GetColumns() {
					tables[table.GetName()][column.GetName()] = []any{}
				}
			}
		}
		cells := tables[batch.Table()]
		for i := range batch.Columns() {
			column := &batch.Columns()[i]
			cells[column.Name()] = append(cells[column.Name()], cellTexts(column)...)
		}
		next = batch.NextUnit()
	}
	header := sample.Header()
	return map[string]any{
		"model":               header.GetModel(),
		"seed":                strconv.FormatInt(header.GetSeed(), 10),
		"synthetic":           header.GetSynthetic(),
		"runtime_fingerprint": header.GetRuntimeFingerprint(),
		"units":               strconv.FormatInt(header.GetUnitCount(), 10),
		"next_unit":           strconv.FormatInt(next, 10),
		"digest":              hex.EncodeToString(sample.Trailer().GetDigest()),
		"streams":             sample.Streams(),
		"tables":              tables,
	}, nil
}

// read takes every row in one of the forms that programs take them in, and keeps none.
func (d *driver) read() (any, error) {
	sample, err := d.request(nil)
	if err != nil {
		return nil, err
	}
	ctx, cancel := d.deadline()
	defer cancel()
	rows, written := map[string]int64{}, 0
	begun := time.Now()
	switch d.words[4] {
	case "rows":
		for row, err := range sample.Rows(ctx) {
			if err != nil {
				return nil, err
			}
			for _, column := range row.Columns() {
				row.Value(column)
			}
			rows[row.Table()]++
		}
	case "batches", "csv":
		var text []byte
		for batch, err := range sample.Batches(ctx) {
			if err != nil {
				return nil, err
			}
			if d.words[4] == "csv" {
				text = batch.AppendCSV(text[:0])
				written += len(text)
			}
			rows[batch.Table()] += int64(batch.Len())
		}
	default:
		return nil, errors.New("rows are read as batches, rows or csv")
	}
	seconds := time.Since(begun).Seconds()
	counts := map[string]string{}
	for table, count := range rows {
		counts[table] = strconv.FormatInt(count, 10)
	}
	result := map[string]any{"rows": counts, "streams": sample.Streams(), "seconds": seconds}
	if d.words[4] == "csv" {
		result["bytes"] = written
	}
	return result, nil
}

// first leaves after the first batch; the client must work on.
func (d *driver) first() (any, error) {
	count, err := d.whole(1)
	if err != nil {
		return nil, err
	}
	seed, err := d.whole(2)
	if err != nil {
		return nil, err
	}
	ctx, cancel := d.deadline()
	defer cancel()
	rows := 0
	for batch, err := range d.client.Sample(d.words[0], count, kohort.Seed(seed)).Batches(ctx) {
		if err != nil {
			return nil, err
		}
		rows = batch.Len()
		break
	}
	model, err := d.client.Model(ctx, d.words[0])
	if err != nil {
		return nil, err
	}
	return map[string]any{"rows": strconv.Itoa(rows), "model": model.GetName()}, nil
}
