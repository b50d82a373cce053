// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"regexp"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/kohort-health/kohort/clients/go/internal/fakeserver"
	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

func TestBrokenStreamsAreRefused(t *testing.T) {
	golden := fakeserver.Golden()
	patients := func(m *pb.SampleResponse) *pb.RecordBatch {
		if m.GetBatch().GetTable() == "patients" {
			return m.GetBatch()
		}
		return nil
	}
	for name, broken := range map[string]struct {
		words  string
		change func(*pb.SampleResponse) *pb.SampleResponse
	}{
		"batch digest": {"digest", func(m *pb.SampleResponse) *pb.SampleResponse {
			if batch := patients(m); batch != nil {
				batch.Digest = make([]byte, 32)
			}
			return m
		}},
		"value": {"digest", func(m *pb.SampleResponse) *pb.SampleResponse {
			if batch := patients(m); batch != nil {
				batch.Columns[3].GetInt64S().Values[0] ^= 1
			}
			return m
		}},
		"a bit of validity": {"null cell is not zero", func(m *pb.SampleResponse) *pb.SampleResponse {
			if batch := patients(m); batch != nil {
				batch.Columns[3].Validity[0] ^= 2
			}
			return m
		}},
		"length of validity": {"bitmap", func(m *pb.SampleResponse) *pb.SampleResponse {
			if batch := patients(m); batch != nil {
				batch.Columns[3].Validity = []byte{1}
			}
			return m
		}},
		"rows": {"more or fewer cells", func(m *pb.SampleResponse) *pb.SampleResponse {
			if batch := patients(m); batch != nil {
				batch.RowCount--
				batch.Columns[1].Validity = nil
			}
			return m
		}},
		"storage": {"do not fit the storage", func(m *pb.SampleResponse) *pb.SampleResponse {
			if batch := patients(m); batch != nil {
				batch.Columns[3].Values = batch.Columns[4].Values
			}
			return m
		}},
		"index": {"beyond the dictionary", func(m *pb.SampleResponse) *pb.SampleResponse {
			if batch := patients(m); batch != nil {
				batch.Columns[12].GetIndices().Values[3] = 10
			}
			return m
		}},
		"offsets": {"offsets", func(m *pb.SampleResponse) *pb.SampleResponse {
			if batch := patients(m); batch != nil {
				batch.Columns[16].GetLists().Offsets[1] = 5
			}
			return m
		}},
		"columns": {"columns of its table", func(m *pb.SampleResponse) *pb.SampleResponse {
			if batch := patients(m); batch != nil {
				batch.Columns = batch.Columns[1:]
			}
			return m
		}},
		"rows without columns": {"columns of its table", func(m *pb.SampleResponse) *pb.SampleResponse {
			for _, table := range m.GetHeader().GetSchema().GetTables() {
				table.Columns = nil
			}
			if batch := m.GetBatch(); batch != nil {
				batch.Columns, batch.RowCount = nil, math.MaxInt32
			}
			return m
		}},
		"table": {"does not name", func(m *pb.SampleResponse) *pb.SampleResponse {
			if batch := patients(m); batch != nil {
				batch.Table = "other"
			}
			return m
		}},
		"trailer digest": {"digest", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetTrailer() != nil {
				m.GetTrailer().Digest = make([]byte, 32)
			}
			return m
		}},
		"trailer rows": {"not the rows that its trailer says", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetTrailer() != nil {
				m.GetTrailer().RowCounts["visits"]++
			}
			return m
		}},
		"trailer table": {"not the rows that its trailer says", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetTrailer() != nil {
				m.GetTrailer().RowCounts["other"] = 1
			}
			return m
		}},
		"trailer units": {"units", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetTrailer() != nil {
				m.GetTrailer().UnitCount--
			}
			return m
		}},
		"no trailer": {"without its trailer", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetTrailer() != nil {
				return nil
			}
			return m
		}},
		"no header": {"wrong order", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetHeader() != nil {
				return nil
			}
			return m
		}},
		"another header": {"wrong order", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetDictionary() != nil {
				m.Part = &pb.SampleResponse_Header{Header: &pb.SampleHeader{}}
			}
			return m
		}},
		"a chunk of CSV": {"not asked for", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetDictionary() != nil {
				m.Part = &pb.SampleResponse_Chunk{Chunk: &pb.SampleChunk{}}
			}
			return m
		}},
		"dictionary chunk": {"dictionary chunk is missing", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetDictionary().GetFirstIndex() == 170 {
				return nil
			}
			return m
		}},
		"last dictionary chunk": {"not come, or not wholly", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetDictionary().GetFirstIndex() == 340 {
				return nil
			}
			return m
		}},
		"a string twice": {"twice", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetDictionary().GetColumn() == "ward" {
				m.GetDictionary().Values[1] = ""
			}
			return m
		}},
		"a long dictionary": {"longer than announced", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetDictionary().GetColumn() == "ward" {
				m.GetDictionary().Total--
			}
			return m
		}},
		"other units": {"other units", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetHeader() != nil {
				m.GetHeader().UnitCount++
			}
			return m
		}},
		"backwards": {"wrong order", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetBatch().GetTable() == "visits" {
				m.GetBatch().NextUnit = -1
			}
			return m
		}},
		"too far": {"wrong order", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetBatch().GetTable() == "visits" {
				m.GetBatch().NextUnit = 9999
			}
			return m
		}},
		"empty message": {"not asked for", func(m *pb.SampleResponse) *pb.SampleResponse {
			if m.GetTrailer() != nil {
				m.Part = nil
			}
			return m
		}},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := playing(t, &fakeserver.Sampling{
				Model:  golden,
				Change: func(_ int, m *pb.SampleResponse) *pb.SampleResponse { return broken.change(m) },
			})
			var last error
			for _, err := range client.Sample("models/golden", 800).Batches(context.Background()) {
				last = err
			}
			var refused *IntegrityError
			if !errors.As(last, &refused) || !regexp.MustCompile(broken.words).MatchString(last.Error()) {
				t.Errorf("the error is %v", last)
			}
			if calls := len(server.Sampling.Requests()); calls != 1 {
				t.Errorf("%d calls: what is altered must not be asked for again", calls)
			}
		})
	}
}

func TestResumedStreamsOfAnotherOriginAreRefused(t *testing.T) {
	for name, change := range map[string]func(*pb.SampleHeader){
		"model":   func(h *pb.SampleHeader) { h.ContentDigest = []byte{1} },
		"seed":    func(h *pb.SampleHeader) { h.Seed++ },
		"runtime": func(h *pb.SampleHeader) { h.RuntimeFingerprint = "other" },
		"units":   func(h *pb.SampleHeader) { h.StartUnit++ },
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := playing(t, &fakeserver.Sampling{
				Model: fakeserver.Golden(),
				Before: func(call, message int) error {
					if call == 0 && message == 20 {
						return status.Error(codes.Unavailable, "cut")
					}
					return nil
				},
				Change: func(call int, m *pb.SampleResponse) *pb.SampleResponse {
					if call == 1 && m.GetHeader() != nil {
						change(m.GetHeader())
					}
					return m
				},
			})
			var last error
			for _, err := range client.Sample("models/golden", 2000).Batches(context.Background()) {
				last = err
			}
			var refused *IntegrityError
			if !errors.As(last, &refused) {
				t.Errorf("the error is %v", last)
			}
		})
	}
}

// Strings of dictionaries have no digest, nor have a batch's first unit and row: some streams pass.
func TestNoAlteredByteMakesAPanic(t *testing.T) {
	golden := fakeserver.Golden()
	golden.UnitsPerBatch = 20
	request := &pb.SampleRequest{UnitCount: 40}
	var encoded [][]byte
	for _, message := range golden.Messages(request) {
		data, err := proto.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		encoded = append(encoded, data)
	}
	random := rand.New(rand.NewPCG(3, 4))
	refused := 0
	for range 1500 {
		state := newSampleState(request, nil)
		state.request()
		altered := random.IntN(len(encoded)-1) + 1 // the header has no digest
		for i, data := range encoded {
			if i == altered {
				data = bytes.Clone(data)
				data[random.IntN(len(data))] ^= byte(1 << random.IntN(8))
			}
			message := &pb.SampleResponse{}
			if proto.Unmarshal(data, message) != nil {
				refused++ // grpc would tell
				break
			}
			if _, err := state.take(message); err != nil {
				refused++
				break
			}
		}
	}
	if refused < 1000 {
		t.Errorf("%d of 1500 were refused", refused)
	}
}
