// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// WriteCSV reads the rows and writes them as CSV (RFC 4180, UTF-8, CRLF, a header
// line), the same bytes as the server's own CSV.
//
// Null is an empty cell and an empty string is "". Booleans are true and false,
// binary numbers the shortest text that reads back exactly, decimals all digits of
// their scale, dates and times ISO 8601 (with Z where the column has a time zone),
// durations ISO 8601 seconds (PT1.5S), lists JSON arrays.
//
// The error is one of w, or one of [Sample.Batches]; w then has whole rows. A model of
// several tables needs [OnlyTable].
func (s *Sample) WriteCSV(ctx context.Context, w io.Writer) error {
	var buffer []byte
	begun := false
	for batch, err := range s.batches(ctx, true) {
		if err != nil {
			return err
		}
		if buffer = buffer[:0]; !begun {
			buffer, begun = batch.AppendCSVHeader(buffer), true
		}
		buffer = batch.AppendCSV(buffer)
		if _, err := w.Write(buffer); err != nil {
			return err
		}
	}
	return nil
}

// AppendCSVHeader appends the line of the columns' names; see [Sample.WriteCSV].
func (b *Batch) AppendCSVHeader(to []byte) []byte {
	for i, column := range b.Schema().GetColumns() {
		if i > 0 {
			to = append(to, ',')
		}
		to = appendQuoted(to, column.GetName())
	}
	return append(to, '\r', '\n')
}

// AppendCSV appends the rows, a line each; see [Sample.WriteCSV].
func (b *Batch) AppendCSV(to []byte) []byte {
	cells := make([]func([]byte, int) []byte, len(b.columns))
	for i := range cells {
		cells[i] = csvCells(&b.columns[i])
	}
	for row := range b.rows {
		for i, cell := range cells {
			if i > 0 {
				to = append(to, ',')
			}
			if !b.columns[i].IsNull(row) {
				to = cell(to, row)
			}
		}
		to = append(to, '\r', '\n')
	}
	return to
}

// csvCells gives the function that writes a cell which is not null.
func csvCells(c *Column) func([]byte, int) []byte {
	switch c.info.GetStorage() {
	case pb.Storage_STORAGE_BOOL:
		return func(to []byte, i int) []byte { return strconv.AppendBool(to, c.bools[i]) }
	case pb.Storage_STORAGE_INT64:
		return func(to []byte, i int) []byte { return strconv.AppendInt(to, c.ints[i], 10) }
	case pb.Storage_STORAGE_DOUBLE:
		return func(to []byte, i int) []byte { return appendDouble(to, c.doubles[i]) }
	case pb.Storage_STORAGE_DECIMAL:
		scale := int(c.info.GetScale())
		return func(to []byte, i int) []byte { return appendDecimal(to, c.ints[i], scale) }
	case pb.Storage_STORAGE_DATE:
		return func(to []byte, i int) []byte { return appendDay(to, int64(c.days[i])) }
	case pb.Storage_STORAGE_DATETIME:
		zone := ""
		if c.info.GetTimeZone() != "" {
			zone = "Z"
		}
		return func(to []byte, i int) []byte { return appendMoment(to, c.ints[i], zone) }
	case pb.Storage_STORAGE_DURATION:
		return func(to []byte, i int) []byte { return appendDuration(to, c.ints[i]) }
	case pb.Storage_STORAGE_STRING_LIST:
		var list []byte
		return func(to []byte, i int) []byte {
			list = list[:0]
			for k, code := range c.codes[c.offsets[i]:c.offsets[i+1]] {
				if k > 0 {
					list = append(list, ',', ' ')
				}
				list = appendJSON(list, c.dictionary[code])
			}
			return appendQuoted(to, "["+string(list)+"]")
		}
	default:
		return func(to []byte, i int) []byte { return appendQuoted(to, c.Text(i)) }
	}
}

// appendQuoted writes text in quotes where it needs them. encoding/csv would not
// tell an empty string from null.
func appendQuoted(to []byte, text string) []byte {
	if text != "" && !strings.ContainsAny(text, "\",\r\n") {
		return append(to, text...)
	}
	to = append(to, '"')
	for {
		quote := strings.IndexByte(text, '"')
		if quote < 0 {
			return append(append(to, text...), '"')
		}
		to = append(append(to, text[:quote+1]...), '"')
		text = text[quote+1:]
	}
}

// appendJSON writes a JSON string; what is not ASCII stays as it is. encoding/json
// would escape more.
func appendJSON(to []byte, text string) []byte {
	const hex = "0123456789abcdef"
	to = append(to, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			to = append(to, '\\', byte(r))
		case r == '\n':
			to = append(to, '\\', 'n')
		case r == '\r':
			to = append(to, '\\', 'r')
		case r == '\t':
			to = append(to, '\\', 't')
		case r == '\b':
			to = append(to, '\\', 'b')
		case r == '\f':
			to = append(to, '\\', 'f')
		case r < ' ':
			to = append(to, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			to = utf8.AppendRune(to, r)
		}
	}
	return append(to, '"')
}
