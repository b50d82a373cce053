// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"bytes"
	"fmt"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// sampleState puts a sample together: what has arrived, whether it is whole, and
// from where to go on.
//
// A batch is handed on once its units are complete in every table; what a break
// leaves incomplete is forgotten and comes again. Every batch is compared with its
// own digest, every stream that ends with its trailer.
type sampleState struct {
	asked   *pb.SampleRequest
	partial *partialRows     // nil: none
	header  *pb.SampleHeader // of the first stream
	tables  map[string]*tableInfo
	next    int64 // units below were handed on
	end     int64 // -1 until a header tells
	hashing digester
	trailer *pb.SampleTrailer // of the stream under way
	streams int

	// Of the stream under way.
	begun        bool
	from         int64
	pending      []*Batch
	dictionaries *dictionaries
	digests      map[string][]columnDigest
	rows         map[string]int64
}

func newSampleState(asked *pb.SampleRequest, partial *partialRows) *sampleState {
	state := &sampleState{asked: asked, partial: partial, next: asked.GetStartUnit(), end: -1}
	if asked.AugmentationFactor == nil {
		state.end = asked.GetStartUnit() + asked.GetUnitCount()
	}
	return state
}

func integrity(format string, about ...any) error {
	return &IntegrityError{Message: fmt.Sprintf(format, about...)}
}

// request asks for the units that are missing, from a server that gives the same
// bytes.
func (s *sampleState) request() *pb.SampleRequest {
	s.streams++
	s.begun, s.from, s.trailer = false, s.next, nil
	s.pending, s.dictionaries = nil, newDictionaries()
	request := &pb.SampleRequest{
		Model: s.asked.GetModel(), StartUnit: s.next, Seed: s.asked.Seed,
		Format: pb.SampleFormat_SAMPLE_FORMAT_COLUMNS, MaxBatchRows: s.asked.GetMaxBatchRows(),
		Conditions: s.asked.GetConditions(), Rebalancing: s.asked.GetRebalancing(),
		Temperature: s.asked.Temperature, TopP: s.asked.TopP, MaxAttempts: s.asked.GetMaxAttempts(),
	}
	if s.end < 0 {
		request.AugmentationFactor = s.asked.AugmentationFactor
	} else {
		request.UnitCount = s.end - s.next
	}
	if s.header != nil {
		seed := s.header.GetSeed()
		request.Seed, request.RuntimeFingerprint = &seed, s.header.GetRuntimeFingerprint()
	}
	if s.partial != nil {
		request.PartialRows = s.partial.from(int(s.next - s.asked.GetStartUnit()))
	}
	return request
}

// take takes a message and gives the batches that are ready with it.
func (s *sampleState) take(message *pb.SampleResponse) ([]*Batch, error) {
	header := message.GetHeader()
	if s.trailer != nil || (header != nil) == s.begun {
		return nil, integrity("the sample's messages came in the wrong order")
	}
	switch part := message.GetPart().(type) {
	case *pb.SampleResponse_Header:
		return nil, s.takeHeader(header)
	case *pb.SampleResponse_Dictionary:
		return nil, s.dictionaries.add(part.Dictionary)
	case *pb.SampleResponse_Batch:
		return s.takeBatch(part.Batch)
	case *pb.SampleResponse_Trailer:
		return nil, s.takeTrailer(part.Trailer)
	default:
		return nil, integrity("the sample holds a message that was not asked for")
	}
}

// ended tells what is wrong where the server ended the stream.
func (s *sampleState) ended() error {
	if s.trailer == nil {
		return integrity("the sample ended without its trailer: it is incomplete")
	}
	return nil
}

// complete tells whether every unit was handed on; a break before the trailer
// costs nothing then.
func (s *sampleState) complete() bool {
	return s.header != nil && s.next == s.end
}

func (s *sampleState) takeHeader(header *pb.SampleHeader) error {
	if s.end < 0 {
		s.end = s.next + header.GetUnitCount()
	}
	if header.GetStartUnit() != s.next || header.GetUnitCount() != s.end-s.next {
		return integrity("the sample's header announces other units than were asked for")
	}
	if first := s.header; first == nil {
		s.header = header
		s.tables = map[string]*tableInfo{}
		for _, table := range header.GetSchema().GetTables() {
			s.tables[table.GetName()] = newTableInfo(table)
		}
	} else if !bytes.Equal(first.GetContentDigest(), header.GetContentDigest()) ||
		first.GetSeed() != header.GetSeed() || first.GetRuntimeFingerprint() != header.GetRuntimeFingerprint() {
		return integrity("the resumed sample stems from another model, seed or runtime")
	}
	s.begun = true
	s.digests, s.rows = map[string][]columnDigest{}, map[string]int64{}
	for name, table := range s.tables {
		s.digests[name] = newColumnDigests(len(table.schema.GetColumns()))
	}
	return nil
}

func (s *sampleState) takeBatch(message *pb.RecordBatch) ([]*Batch, error) {
	table, known := s.tables[message.GetTable()]
	if !known {
		return nil, integrity("a batch is of a table that the sample's header does not name")
	}
	batch, err := decodeBatch(message, table, s.dictionaries)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(s.hashing.add(s.digests[batch.Table()], batch.columns), message.GetDigest()) {
		return nil, integrity("%s: a record batch does not have the digest it came with", batch.Table())
	}
	if batch.nextUnit < s.next || batch.nextUnit > s.end {
		return nil, integrity("the sample's units came in the wrong order")
	}
	s.rows[batch.Table()] += int64(batch.rows)
	s.pending = append(s.pending, batch)
	if batch.nextUnit == s.next {
		return nil, nil
	}
	s.next = batch.nextUnit
	ready := s.pending
	s.pending = nil
	return ready, nil
}

func (s *sampleState) takeTrailer(trailer *pb.SampleTrailer) error {
	if len(s.pending) != 0 || s.next != s.end || trailer.GetUnitCount() != s.end-s.from {
		return integrity("the sample has fewer units than its trailer says")
	}
	for name := range s.tables {
		if trailer.GetRowCounts()[name] != s.rows[name] {
			return integrity("the sample has not the rows that its trailer says")
		}
	}
	for name, rows := range trailer.GetRowCounts() {
		if rows != s.rows[name] {
			return integrity("the sample has not the rows that its trailer says")
		}
	}
	var inOrder [][]columnDigest
	for _, table := range s.header.GetSchema().GetTables() {
		inOrder = append(inOrder, s.digests[table.GetName()])
	}
	if !bytes.Equal(contentDigest(inOrder...), trailer.GetDigest()) {
		return integrity("the sample's rows do not have the digest of its trailer")
	}
	s.trailer = trailer
	return nil
}
