// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

type dictionaryKey struct{ table, column string }

// dictionaries are those of one stream, put together from their chunks.
type dictionaries struct {
	whole  map[dictionaryKey][]string
	coming map[dictionaryKey][]string
	totals map[dictionaryKey]int
}

func newDictionaries() *dictionaries {
	return &dictionaries{
		whole:  map[dictionaryKey][]string{},
		coming: map[dictionaryKey][]string{},
		totals: map[dictionaryKey]int{},
	}
}

// add takes a chunk; one that begins at 0 begins its dictionary anew.
func (d *dictionaries) add(chunk *pb.Dictionary) error {
	key := dictionaryKey{chunk.GetTable(), chunk.GetColumn()}
	first, total := int(chunk.GetFirstIndex()), int(chunk.GetTotal())
	if first == 0 {
		delete(d.whole, key)
		d.coming[key], d.totals[key] = []string{}, total
	}
	part, begun := d.coming[key]
	if !begun || first != len(part) || total != d.totals[key] {
		return integrity("%s.%s: a dictionary chunk is missing or repeated", key.table, key.column)
	}
	part = append(part, chunk.GetValues()...)
	d.coming[key] = part
	if len(part) > total {
		return integrity("%s.%s: a dictionary is longer than announced", key.table, key.column)
	}
	if len(part) < total {
		return nil
	}
	seen := make(map[string]struct{}, total)
	for _, text := range part {
		seen[text] = struct{}{}
	}
	if len(seen) != len(part) {
		return integrity("%s.%s: the dictionary holds a string twice", key.table, key.column)
	}
	d.whole[key] = part
	delete(d.coming, key)
	return nil
}
