// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/kohort-health/kohort/clients/go/internal/fakeserver"
)

// endless is a model whose stream does not fit into any window.
func endless() *fakeserver.Sampling {
	model := fakeserver.Golden()
	model.UnitsPerBatch = 100
	return &fakeserver.Sampling{Model: model, Before: func(_, message int) error {
		if message > 30 {
			time.Sleep(100 * time.Millisecond)
		}
		return nil
	}}
}

func awaitEnds(t *testing.T, sampling *fakeserver.Sampling, count int) []error {
	t.Helper()
	for range 3000 {
		if ends := sampling.Ends(); len(ends) >= count {
			return ends
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the call did not end on the server")
	return nil
}

func TestLeavingTheLoopEndsTheCall(t *testing.T) {
	sampling := endless()
	client, server := playing(t, sampling)
	for range client.Sample("models/golden", fakeserver.GoldenUnits).Batches(context.Background()) {
		break
	}
	for _, err := range awaitEnds(t, sampling, 1) {
		if err == nil {
			t.Error("the server sent all of it")
		}
	}
	if calls := server.Calls("Sample"); len(calls) != 1 {
		t.Errorf("%d calls", len(calls))
	}
}

func TestContextsEndTheCall(t *testing.T) {
	for expected, begin := range map[error]func(time.Duration) (context.Context, context.CancelFunc){
		context.DeadlineExceeded: func(after time.Duration) (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), after)
		},
		context.Canceled: func(after time.Duration) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(after, cancel)
			return ctx, cancel
		},
	} {
		sampling := endless()
		client, _ := playing(t, sampling)
		// A busy machine may need longer to bring the call to the server.
		for after := 100 * time.Millisecond; len(sampling.Requests()) == 0; after *= 2 {
			ctx, cancel := begin(after)
			var last error
			for _, err := range client.Sample("models/golden", fakeserver.GoldenUnits).Batches(ctx) {
				last = err
			}
			cancel()
			if !errors.Is(last, expected) {
				t.Fatalf("the error is %v, not %v", last, expected)
			}
		}
		awaitEnds(t, sampling, 1)
	}
}

func TestNoGoroutineIsLeft(t *testing.T) {
	client, _ := playing(t, &fakeserver.Sampling{Model: fakeserver.Golden()})
	read := func(leave bool) {
		for _, err := range client.Sample("models/golden", 500).Rows(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			if leave {
				break
			}
		}
	}
	read(false)
	before := runtime.NumGoroutine()
	for i := range 20 {
		read(i%2 == 0)
	}
	for range 2000 {
		if runtime.NumGoroutine() <= before+1 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}
