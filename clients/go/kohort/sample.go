// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// A Sample describes synthetic patients that a model is asked for. Nothing is
// sent until its rows are read, by [Sample.Batches], [Sample.Rows],
// [Sample.WriteCSV], [Rows] or [Collect].
//
// Reading it again asks again: the same rows with [Seed], others without. Leaving a
// loop ends the call on the server at once. At most the batches of the units under
// way are held in memory.
//
// A stream that breaks is taken up where it broke, and gives the rows that it would
// have given. What arrives is compared with the digests that the server sends;
// where it is incomplete or altered the reading ends with an [IntegrityError].
type Sample struct {
	client *Client
	asked  *pb.SampleRequest
	table  string
	wrong  error
	// partial makes the rows to complete once the model's schema is known; nil: none.
	partial func(context.Context, *pb.Schema) (*partialRows, error)

	lock  sync.Mutex
	state *sampleState
}

// A SampleOption says which rows a [Sample] is to have: a [Condition], or one of
// the functions that give one.
type SampleOption interface{ applySample(*Sample) error }

type sampleOption func(*Sample) error

func (o sampleOption) applySample(s *Sample) error { return o(s) }

// maxUnits bounds the units of a model.
const maxUnits = 1 << 53

// Sample describes units of a model, "models/…", as rows: as many patients where
// the model generates patients, else rows. Options that make no sense are told
// when the sample is read.
func (c *Client) Sample(model string, units int64, options ...SampleOption) *Sample {
	s := &Sample{client: c, asked: &pb.SampleRequest{Model: model, UnitCount: units}}
	for _, option := range options {
		if err := option.applySample(s); err != nil && s.wrong == nil {
			s.wrong = err
		}
	}
	told := s.asked.AugmentationFactor != nil || s.partial != nil
	switch start := s.asked.GetStartUnit(); {
	case s.wrong != nil:
	case told && units != 0:
		s.wrong = wrongUse("say how many: with AugmentationFactor or Complete the units are 0")
	case start < 0 || start >= maxUnits, !told && (units < 1 || units > maxUnits-start):
		s.wrong = wrongUse("a sample has at least 1 unit, its start is at least 0, and both together are at most 2^53")
	}
	return s
}

func (o SeedOption) applySample(s *Sample) error {
	s.asked.Seed = proto.Int64(int64(o))
	return nil
}

// StartUnit is the first unit, 0 when left out. Several clients can take a part each.
func StartUnit(unit int64) SampleOption {
	return sampleOption(func(s *Sample) error { s.asked.StartUnit = unit; return nil })
}

// AugmentationFactor asks for so many units per training row, in (0, 1000]; the
// units of the sample are then 0, and the header says how many come.
func AugmentationFactor(factor float64) SampleOption {
	return sampleOption(func(s *Sample) error { s.asked.AugmentationFactor = &factor; return nil })
}

// Temperature flattens (above 1) or sharpens (below 1) what the model draws from, in
// [0.1, 5].
func Temperature(temperature float64) SampleOption {
	return sampleOption(func(s *Sample) error { s.asked.Temperature = &temperature; return nil })
}

// TopP draws from the fewest values that together have this probability, in (0, 1].
func TopP(probability float64) SampleOption {
	return sampleOption(func(s *Sample) error { s.asked.TopP = &probability; return nil })
}

// MaxAttempts bounds how often a unit is drawn until it meets conditions and
// constraints, in [1, 100000]; 1000 when left out.
func MaxAttempts(attempts int32) SampleOption {
	return sampleOption(func(s *Sample) error { s.asked.MaxAttempts = attempts; return nil })
}

// MaxBatchRows asks for smaller batches than the server would send.
func MaxBatchRows(rows int32) SampleOption {
	return sampleOption(func(s *Sample) error { s.asked.MaxBatchRows = rows; return nil })
}

// OnlyTable gives the rows of one table where a model has several. [Rows], [Collect]
// and [Sample.WriteCSV] need it there.
func OnlyTable(name string) SampleOption {
	return sampleOption(func(s *Sample) error { s.table = name; return nil })
}

// Batches reads the rows as typed columns, in order of units. An error is the last
// thing that it gives: an [Error], [IntegrityError] or what was wrong with an option.
//
// A deadline of ctx holds for all of it, resuming included; without one the
// Transfer timeout of the client does. Ending ctx ends the call.
func (s *Sample) Batches(ctx context.Context) iter.Seq2[*Batch, error] {
	return s.batches(ctx, false)
}

// Header tells where the rows come from: model, seed, schema, privacy, and that
// they are synthetic. It is nil until the first row was read.
func (s *Sample) Header() *pb.SampleHeader {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.state == nil {
		return nil
	}
	return s.state.header
}

// Trailer is the end of the last stream, nil until the sample was read to its end.
// After a break it tells of the units since then; it is nil, too, where the stream
// broke after its last unit.
func (s *Sample) Trailer() *pb.SampleTrailer {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.state == nil {
		return nil
	}
	return s.state.trailer
}

// Streams counts the calls that the last reading took: 1 where nothing broke.
func (s *Sample) Streams() int {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.state == nil {
		return 0
	}
	return s.state.streams
}

// batches reads the sample. With single a model of several tables is refused where
// no table was chosen.
func (s *Sample) batches(ctx context.Context, single bool) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		if s.wrong != nil {
			yield(nil, s.wrong)
			return
		}
		state, err := s.begin(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		attempts, cancel := s.client.attempts(ctx, s.client.settings.timeouts.Transfer)
		defer cancel() // ends the call where the loop is left
		for {
			left, err := s.stream(attempts, state, single, yield)
			if left || err == nil {
				return
			}
			if isCallError(err) && state.complete() {
				return
			}
			if err = attempts.again(err); err == nil {
				continue
			}
			yield(nil, err)
			return
		}
	}
}

// begin makes the state of a reading.
func (s *Sample) begin(ctx context.Context) (*sampleState, error) {
	asked := proto.CloneOf(s.asked)
	var partial *partialRows
	if s.partial != nil {
		model, err := s.client.Model(ctx, asked.GetModel())
		if err != nil {
			return nil, err
		}
		if partial, err = s.partial(ctx, model.GetSchema()); err != nil {
			return nil, err
		}
		asked.UnitCount = int64(partial.len())
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	s.state = newSampleState(asked, partial)
	return s.state, nil
}

// stream reads one stream. It gives nil at its good end, and whether the loop was
// left.
func (s *Sample) stream(
	attempts *attempts, state *sampleState, single bool, yield func(*Batch, error) bool,
) (left bool, err error) {
	s.lock.Lock()
	request := state.request()
	s.lock.Unlock()
	stream, err := s.client.sampling.Sample(attempts.ctx(), request)
	if err != nil {
		return false, err
	}
	for {
		message, err := stream.Recv()
		if err == io.EOF {
			return false, state.ended()
		}
		if err != nil {
			return false, err
		}
		attempts.progressed()
		s.lock.Lock()
		ready, err := state.take(message)
		s.lock.Unlock()
		if err == nil && message.GetHeader() != nil {
			err = s.checkTable(state, single)
		}
		if err != nil {
			return false, err
		}
		for _, batch := range ready {
			if s.table != "" && batch.Table() != s.table {
				continue
			}
			if !yield(batch, nil) {
				return true, nil
			}
		}
	}
}

// checkTable refuses a choice of table that the model does not have, or none where
// there must be one.
func (s *Sample) checkTable(state *sampleState, single bool) error {
	if _, known := state.tables[s.table]; known || (s.table == "" && (!single || len(state.tables) == 1)) {
		return nil
	}
	var names []string
	for _, table := range state.header.GetSchema().GetTables() {
		names = append(names, table.GetName())
	}
	if s.table == "" {
		return wrongUse("the model has several tables (%s): choose one with OnlyTable", strings.Join(names, ", "))
	}
	return wrongUse("the model has no table %s, but %s", s.table, strings.Join(names, ", "))
}

// isCallError tells a break of the call from rows that are wrong.
func isCallError(err error) bool {
	var failed *Error
	return errors.As(asError(err, ""), &failed)
}
