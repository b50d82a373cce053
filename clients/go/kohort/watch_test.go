// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kohort-health/kohort/clients/go/internal/fakeserver"
	"github.com/kohort-health/kohort/clients/go/kohort"
	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

func TestEventsComeOnceAndInOrder(t *testing.T) {
	client := dial(t, serve(t).Address)
	job, err := client.Train(within(t), uploaded(t, client).GetName())
	if err != nil {
		t.Fatal(err)
	}
	var sequences []int64
	for update, err := range job.Events(within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if update.GetHeartbeat() != nil {
			t.Error("a heartbeat")
		}
		event := update.GetEvent()
		if event == nil {
			continue
		}
		sequences = append(sequences, event.GetSequence())
		// The handle tells the job as it was then, not what it has reached since.
		info, progress := job.Info(), event.GetProgress()
		if info.GetProgress().GetStep() != progress.GetStep() && event.GetSequence() < 7 ||
			(info.GetPhase() == "fitting") != (event.GetSequence() > 2) {
			t.Errorf("event %d: the job is in phase %q at %v", event.GetSequence(), info.GetPhase(), info.GetProgress())
		}
	}
	if !slices.Equal(sequences, []int64{1, 2, 3, 4, 5, 6, 7}) || job.Info().GetState() != pb.JobState_JOB_STATE_SUCCEEDED {
		t.Errorf("events %v of %v", sequences, job.Info())
	}
	sequences = nil
	for update, err := range job.Follow(within(t), 5) {
		if err != nil {
			t.Fatal(err)
		}
		if event := update.GetEvent(); event != nil {
			sequences = append(sequences, event.GetSequence())
		}
	}
	if !slices.Equal(sequences, []int64{6, 7}) {
		t.Errorf("events %v after 5", sequences)
	}
}

// TestEventsGoOnAfterABreak of every kind, each event once.
func TestEventsGoOnAfterABreak(t *testing.T) {
	for name, breakIt := range map[string]func(*fakeserver.Server){
		"a cut": (*fakeserver.Server).Cut,
		"a restart": func(s *fakeserver.Server) {
			s.Stop()
			time.Sleep(50 * time.Millisecond) // some tries fail
			s.Restart()
		},
		"an error": func(s *fakeserver.Server) {
			s.Fail("Status", slices.Repeat([]error{status.Error(codes.Unavailable, "draining")}, 10)...)
			s.Cut()
		},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			server := serve(t)
			t.Cleanup(func() { server.Stop() }) // the restarted one
			client := dial(t, server.Address)
			job := held(t, client)
			var events []int64
			for update, err := range job.Events(within(t)) {
				if err != nil {
					t.Fatal(err)
				}
				event := update.GetEvent()
				if event == nil {
					continue
				}
				events = append(events, event.GetSequence())
				switch event.GetSequence() {
				case 6:
					breakIt(server)
					server.Step(job.Name())
				case 7:
					server.Finish(job.Name())
				}
			}
			if !slices.Equal(events, []int64{1, 2, 3, 4, 5, 6, 7, 8}) {
				t.Errorf("events %v", events)
			}
			if job.Info().GetState() != pb.JobState_JOB_STATE_SUCCEEDED {
				t.Errorf("job %v", job.Info())
			}
		})
	}
}

func TestPatienceWithAStreamEnds(t *testing.T) {
	server := serve(t)
	client := dial(t, server.Address, kohort.WithRetry(kohort.Retry{
		InitialBackoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond, StreamPatience: 200 * time.Millisecond,
	}))
	job := held(t, client)
	var last error
	for update, err := range job.Events(within(t)) {
		if update.GetEvent().GetSequence() == 6 {
			server.Stop()
		}
		last = err
	}
	if !errors.Is(last, kohort.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", last)
	}
}

func TestEventsThatAreNoLongerKeptArePassedOver(t *testing.T) {
	server := serve(t)
	client := dial(t, server.Address)
	job, err := client.Train(within(t), uploaded(t, client).GetName())
	if err != nil {
		t.Fatal(err)
	}
	server.Fail("Status", fakeserver.Refusal{
		Code: codes.OutOfRange, Reason: "EVENTS_COMPACTED", Metadata: map[string]string{"oldest": "6"},
	}.Err())
	var events []int64
	for update, err := range job.Events(within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if event := update.GetEvent(); event != nil {
			events = append(events, event.GetSequence())
		}
	}
	if !slices.Equal(events, []int64{6, 7}) {
		t.Errorf("events %v", events)
	}
}

func TestLeavingTheLoopEndsTheCall(t *testing.T) {
	noLeaks(t)
	server := serve(t)
	client := dial(t, server.Address)
	job := held(t, client)
	for _, err := range job.Events(within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	// Stop would wait for a handler that still runs.
	done := make(chan struct{})
	go func() {
		server.Drain()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("the call goes on")
	}
}

func TestFollowingEndsWithItsContext(t *testing.T) {
	noLeaks(t)
	client := dial(t, serve(t).Address)
	job := held(t, client)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var last error
	for update, err := range job.Events(ctx) {
		if update.GetEvent().GetSequence() == 6 {
			time.AfterFunc(10*time.Millisecond, cancel)
		}
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("got %v, want Canceled", last)
	}
	soon, stop := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer stop()
	if _, err := job.Wait(soon); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want DeadlineExceeded", err)
	}
}

func TestClosingTheClientEndsFollowing(t *testing.T) {
	noLeaks(t)
	client := dial(t, serve(t).Address)
	job := held(t, client)
	var last error
	for update, err := range job.Events(context.Background()) {
		if update.GetEvent().GetSequence() == 6 {
			time.AfterFunc(10*time.Millisecond, func() { _ = client.Close() })
		}
		last = err
	}
	if !errors.Is(last, kohort.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", last)
	}
}
