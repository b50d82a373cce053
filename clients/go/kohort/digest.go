// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math"
	"slices"
)

// A columnDigest hashes the cells of one column as RecordBatch in table.proto
// defines: validity and values each by a hash of its own.
type columnDigest struct{ validity, values hash.Hash }

func newColumnDigests(count int) []columnDigest {
	digests := make([]columnDigest, count)
	for i := range digests {
		digests[i] = columnDigest{sha256.New(), sha256.New()}
	}
	return digests
}

// contentDigest is the content digest of columns in schema order.
func contentDigest(columns ...[]columnDigest) []byte {
	whole := sha256.New()
	for _, column := range slices.Concat(columns...) {
		var both [2 * sha256.Size]byte
		column.validity.Sum(both[:0])
		column.values.Sum(both[:sha256.Size])
		one := sha256.Sum256(both[:])
		whole.Write(one[:])
	}
	return whole.Sum(nil)
}

// ones are validity bytes of cells that are not null.
var ones = slices.Repeat([]byte{1}, 1<<14)

// eightBytes spreads the bits of a validity byte to a byte each.
var eightBytes = func() (table [256]uint64) {
	for i := range table {
		for bit := range 8 {
			table[i] |= uint64(i>>bit&1) << (8 * bit)
		}
	}
	return table
}()

// A digester feeds columns into the digests of their batch and of their stream,
// each value turned to bytes once. It keeps its buffer.
type digester struct {
	batch  []columnDigest
	buffer []byte
}

// flushAt is where the buffer is hashed: large enough that calls do not count,
// small enough to stay in the processor's cache.
const flushAt = 1 << 15

// add hashes a batch into the stream's digests and gives its own.
func (d *digester) add(stream []columnDigest, columns []Column) []byte {
	for len(d.batch) < len(columns) {
		d.batch = append(d.batch, columnDigest{sha256.New(), sha256.New()})
	}
	alone := d.batch[:len(columns)]
	for i := range columns {
		alone[i].validity.Reset()
		alone[i].values.Reset()
		d.addValidity(&columns[i], alone[i].validity, stream[i].validity)
		d.addValues(&columns[i], alone[i].values, stream[i].values)
	}
	return contentDigest(alone)
}

func (d *digester) flush(a, b hash.Hash) {
	a.Write(d.buffer)
	b.Write(d.buffer)
	d.buffer = d.buffer[:0]
}

func (d *digester) addValidity(c *Column, a, b hash.Hash) {
	if c.nulls == 0 {
		for left := c.rows; left > 0; left -= len(ones) {
			part := ones[:min(left, len(ones))]
			a.Write(part)
			b.Write(part)
		}
		return
	}
	out := d.buffer[:0]
	for _, eight := range c.validity {
		out = binary.LittleEndian.AppendUint64(out, eightBytes[eight])
	}
	d.buffer = out[:c.rows]
	d.flush(a, b)
}

func (d *digester) addValues(c *Column, a, b hash.Hash) {
	little := binary.LittleEndian
	switch {
	case c.offsets != nil:
		d.addLists(c, a, b)
	case c.codes != nil:
		for part := range slices.Chunk(c.codes, flushAt/4) {
			out := d.room(4 * len(part))
			for i, v := range part {
				little.PutUint32(out[4*i:], v)
			}
			d.flush(a, b)
		}
	case c.ints != nil:
		for part := range slices.Chunk(c.ints, flushAt/8) {
			out := d.room(8 * len(part))
			for i, v := range part {
				little.PutUint64(out[8*i:], uint64(v))
			}
			d.flush(a, b)
		}
	case c.doubles != nil:
		for part := range slices.Chunk(c.doubles, flushAt/8) {
			out := d.room(8 * len(part))
			for i, v := range part {
				little.PutUint64(out[8*i:], math.Float64bits(v))
			}
			d.flush(a, b)
		}
	case c.days != nil:
		for part := range slices.Chunk(c.days, flushAt/4) {
			out := d.room(4 * len(part))
			for i, v := range part {
				little.PutUint32(out[4*i:], uint32(v))
			}
			d.flush(a, b)
		}
	case c.bools != nil:
		for part := range slices.Chunk(c.bools, flushAt) {
			out := d.room(len(part))
			for i, v := range part {
				if v {
					out[i] = 1
				} else {
					out[i] = 0
				}
			}
			d.flush(a, b)
		}
	default:
		for _, text := range c.texts {
			d.buffer = append(little.AppendUint32(d.buffer, uint32(len(text))), text...)
			if len(d.buffer) >= flushAt {
				d.flush(a, b)
			}
		}
		d.flush(a, b)
	}
}

func (d *digester) addLists(c *Column, a, b hash.Hash) {
	for i := range c.rows {
		cell := c.codes[c.offsets[i]:c.offsets[i+1]]
		d.buffer = binary.LittleEndian.AppendUint32(d.buffer, uint32(len(cell)))
		for _, code := range cell {
			d.buffer = binary.LittleEndian.AppendUint32(d.buffer, code)
		}
		if len(d.buffer) >= flushAt {
			d.flush(a, b)
		}
	}
	d.flush(a, b)
}

// room makes the buffer that long; what it holds is to be overwritten.
func (d *digester) room(size int) []byte {
	d.buffer = slices.Grow(d.buffer[:0], size)[:size]
	return d.buffer
}
