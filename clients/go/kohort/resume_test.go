// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kohort-health/kohort/clients/go/internal/fakeserver"
	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

func TestResumesAfterEveryMessage(t *testing.T) {
	golden := fakeserver.Golden()
	const units = 1000
	total := len(golden.Messages(&pb.SampleRequest{UnitCount: units}))
	for cut := range total {
		sampling := &fakeserver.Sampling{Model: golden, Before: func(call, message int) error {
			if call == 0 && message == cut {
				return status.Error(codes.Unavailable, "cut")
			}
			return nil
		}}
		client, _ := playing(t, sampling)
		sample := client.Sample("models/golden", units, Seed(3), Temperature(2), MaxAttempts(9), Equals("ward", "x"))
		compare(t, sample, golden)
		requests := sampling.Requests()
		if whole := cut == total-1; whole {
			// Every unit had come: only the trailer was lost.
			if len(requests) != 1 || sample.Trailer() != nil {
				t.Errorf("cut %d: %d calls", cut, len(requests))
			}
			continue
		}
		if len(requests) != 2 || sample.Streams() != 2 {
			t.Fatalf("cut %d: %d calls", cut, len(requests))
		}
		again := requests[1]
		if again.GetStartUnit()+again.GetUnitCount() != units || again.GetStartUnit()%397 != 0 || again.GetSeed() != 3 ||
			again.GetTemperature() != 2 || again.GetMaxAttempts() != 9 || len(again.GetConditions()) != 1 {
			t.Errorf("cut %d: resumed by %v", cut, again)
		}
		if fingerprint := again.GetRuntimeFingerprint(); (fingerprint == "fake/1") != (cut > 0) {
			t.Errorf("cut %d: resumed on %q", cut, fingerprint)
		}
	}
}

func TestResumesAfterCutsOfTheConnection(t *testing.T) {
	golden := fakeserver.Golden()
	random := rand.New(rand.NewPCG(1, 2))
	for range 4 {
		client, server := playing(t, &fakeserver.Sampling{Model: golden})
		cuts := make([]int64, 5)
		for i := range cuts {
			cuts[i] = 1 + random.Int64N(200_000)
		}
		server.CutAfter(cuts...)
		sample := client.Sample("models/golden", fakeserver.GoldenUnits, Seed(1))
		compare(t, sample, golden)
		if sample.Streams() < 2 {
			t.Errorf("cuts after %v bytes: one stream", cuts)
		}
	}
}

func TestAFinalErrorComesAfterTheRows(t *testing.T) {
	refusal := fakeserver.Refusal{Code: codes.FailedPrecondition, Reason: "CONDITION_UNSATISFIED"}
	client, server := playing(t, &fakeserver.Sampling{Model: fakeserver.Heart(), Before: func(_, message int) error {
		if message == 4 {
			return refusal.Err()
		}
		return nil
	}})
	rows := 0
	for _, err := range client.Sample("models/heart", 100).Rows(context.Background()) {
		if err == nil {
			rows++
		} else if !errors.Is(err, ErrConditionUnsatisfied) {
			t.Error(err)
		}
	}
	if rows != 8 || len(server.Sampling.Requests()) != 1 {
		t.Errorf("%d rows in %d calls", rows, len(server.Sampling.Requests()))
	}
}

func TestAFactorInsteadOfUnits(t *testing.T) {
	heart := fakeserver.Heart()
	sampling := &fakeserver.Sampling{Model: heart, Before: func(call, message int) error {
		if call == 0 && message == 4 {
			return status.Error(codes.Unavailable, "cut")
		}
		return nil
	}}
	client, _ := playing(t, sampling)
	sample := client.Sample("models/heart", 0, AugmentationFactor(0.5))
	sampling.Units = 30
	rows := 0
	for _, err := range sample.Rows(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		rows++
	}
	again := sampling.Requests()[1]
	if rows != 30 || again.GetUnitCount() != 22 || again.AugmentationFactor != nil {
		t.Errorf("%d rows, resumed by %v", rows, again)
	}
}
