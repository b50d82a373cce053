// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// columnDigest hashes the cells of one column as RecordBatch in table.proto defines.
type columnDigest struct{ validity, values hash.Hash }

func newColumnDigests(count int) []columnDigest {
	digests := make([]columnDigest, count)
	for i := range digests {
		digests[i] = columnDigest{sha256.New(), sha256.New()}
	}
	return digests
}

func (d columnDigest) add(data *pb.ColumnData, rows int) {
	validity := make([]byte, rows)
	for i := range validity {
		if isValid(data, i) {
			validity[i] = 1
		}
	}
	d.validity.Write(validity)
	d.values.Write(valueBytes(data))
}

// contentDigest is the content digest of columns in schema order.
func contentDigest(columns []columnDigest) []byte {
	whole := sha256.New()
	for _, column := range columns {
		both := sha256.New()
		both.Write(column.validity.Sum(nil))
		both.Write(column.values.Sum(nil))
		whole.Write(both.Sum(nil))
	}
	return whole.Sum(nil)
}

// isValid tells whether cell i is not null.
func isValid(data *pb.ColumnData, i int) bool {
	bits := data.GetValidity()
	return len(bits) == 0 || bits[i/8]>>(i%8)&1 == 1
}

func valueBytes(data *pb.ColumnData) []byte {
	var out []byte
	little := binary.LittleEndian
	switch values := data.GetValues().(type) {
	case *pb.ColumnData_Bools:
		for _, v := range values.Bools.GetValues() {
			if v {
				out = append(out, 1)
			} else {
				out = append(out, 0)
			}
		}
	case *pb.ColumnData_Int64S:
		for _, v := range values.Int64S.GetValues() {
			out = little.AppendUint64(out, uint64(v))
		}
	case *pb.ColumnData_Doubles:
		for _, v := range values.Doubles.GetValues() {
			out = little.AppendUint64(out, math.Float64bits(v))
		}
	case *pb.ColumnData_Dates:
		for _, v := range values.Dates.GetValues() {
			out = little.AppendUint32(out, uint32(v))
		}
	case *pb.ColumnData_Indices:
		for _, v := range values.Indices.GetValues() {
			out = little.AppendUint32(out, v)
		}
	case *pb.ColumnData_Strings:
		for _, v := range values.Strings.GetValues() {
			out = append(little.AppendUint32(out, uint32(len(v))), v...)
		}
	case *pb.ColumnData_Lists:
		offsets := values.Lists.GetOffsets()
		for i := 1; i < len(offsets); i++ {
			out = little.AppendUint32(out, offsets[i]-offsets[i-1])
			for _, v := range values.Lists.GetValues()[offsets[i-1]:offsets[i]] {
				out = little.AppendUint32(out, v)
			}
		}
	}
	return out
}
