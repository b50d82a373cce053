// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kohort-health/kohort/clients/go/internal/fakeserver"
	"github.com/kohort-health/kohort/clients/go/kohort"
	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// held is a job that runs until the test ends it.
func held(t testing.TB, client *kohort.Client) *kohort.Job {
	t.Helper()
	job, err := client.Train(within(t), uploaded(t, client).GetName(), kohort.Trainer("held"))
	if err != nil {
		t.Fatal(err)
	}
	return job
}

func TestTrainToTheModel(t *testing.T) {
	noLeaks(t)
	server := serve(t)
	client := dial(t, server.Address)
	dataset := uploaded(t, client)
	job, err := client.Train(within(t), dataset.GetName(),
		kohort.Trainer("copula"), kohort.Seed(7), kohort.Parameter("epochs", 50), kohort.Parameter("dims", []int{64, 32}),
		kohort.Parameter("rate", 0.5), kohort.DisplayName("Heart"), kohort.Labels(map[string]string{"ward": "7"}),
	)
	if err != nil {
		t.Fatal(err)
	}
	model, err := job.Wait(within(t))
	if err != nil {
		t.Fatal(err)
	}
	info := job.Info()
	if job.Name() != "jobs/1" || info.GetState() != pb.JobState_JOB_STATE_SUCCEEDED || info.GetSeed() != 7 ||
		model.GetName() != info.GetModel() || model.GetDisplayName() != "Heart" || model.GetLabels()["ward"] != "7" {
		t.Errorf("job %v, model %v", info, model)
	}
	fields := info.GetParameters().GetFields()
	if fields["epochs"].GetNumberValue() != 50 || fields["rate"].GetNumberValue() != 0.5 ||
		len(fields["dims"].GetListValue().GetValues()) != 2 {
		t.Errorf("parameters %v", fields)
	}
	if _, err := job.Report(within(t)); !errors.Is(err, kohort.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound: the model was not evaluated", err)
	}
}

func TestARepeatedTrainFindsItsJob(t *testing.T) {
	server := serve(t)
	client := dial(t, server.Address)
	dataset := uploaded(t, client)
	server.Fail("Train", status.Error(codes.Unavailable, "gone"))
	const id = "6f1c1f0e-0000-4000-8000-000000000000"
	for range 2 {
		job, err := client.Train(within(t), dataset.GetName(), kohort.Trainer("held"), kohort.RequestID(id))
		if err != nil || job.Name() != "jobs/1" {
			t.Errorf("got %v and %v", job, err)
		}
	}
	if calls := len(server.Calls("Train")); calls != 3 {
		t.Errorf("%d calls", calls)
	}
}

func TestTrainIsRefused(t *testing.T) {
	server := serve(t)
	client := dial(t, server.Address)
	_, err := client.Train(within(t), uploaded(t, client).GetName(), kohort.Trainer("magic"))
	if got := failed(t, err); got.Reason != "UNKNOWN_TRAINER" || got.Violations[0].Field != "trainer" {
		t.Errorf("got %v", got)
	}
	_, err = client.Train(within(t), "datasets/9", kohort.Parameter("callback", func() {}))
	if err == nil || len(server.Calls("Train")) != 1 {
		t.Errorf("a parameter that cannot be sent was: %v", err)
	}
}

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
		if event := update.GetEvent(); event != nil {
			sequences = append(sequences, event.GetSequence())
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

func TestAJobThatFails(t *testing.T) {
	client := dial(t, serve(t).Address)
	job, err := client.Train(within(t), uploaded(t, client).GetName(), kohort.Trainer("diverging"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = job.Wait(within(t))
	var ended *kohort.JobError
	if !errors.As(err, &ended) || !errors.Is(err, kohort.ErrJobFailed) || ended.Job.GetError().GetReason() != "TRAINING_DIVERGED" {
		t.Errorf("got %v", err)
	}
	var call *kohort.Error
	if errors.As(err, &call) {
		t.Error("a failed job is no failed call")
	}
}

func TestCancel(t *testing.T) {
	client := dial(t, serve(t).Address)
	job := held(t, client)
	info, err := job.Cancel(within(t))
	if err != nil || info.GetState() != pb.JobState_JOB_STATE_CANCELLING {
		t.Fatalf("got %v and %v", info.GetState(), err)
	}
	if _, err := job.Wait(within(t)); !errors.Is(err, kohort.ErrJobCancelled) {
		t.Errorf("got %v, want ErrJobCancelled", err)
	}
	if info, err = job.Cancel(within(t)); err != nil || info.GetState() != pb.JobState_JOB_STATE_CANCELLED {
		t.Errorf("again: got %v and %v", info.GetState(), err)
	}
}

func TestJobsFromAnotherProcess(t *testing.T) {
	server := serve(t)
	client := dial(t, server.Address)
	first := held(t, client)
	for range 4 {
		held(t, client)
	}
	server.Finish(first.Name())
	job, err := dial(t, server.Address).Job(within(t), first.Name())
	if err != nil || job.Info().GetState() != pb.JobState_JOB_STATE_SUCCEEDED {
		t.Errorf("got %v and %v", job, err)
	}
	if info, err := first.Refresh(within(t)); err != nil || info.GetModel() == "" || first.Info() != info {
		t.Errorf("got %v and %v", info, err)
	}
	for want, states := range map[string][]pb.JobState{
		"[jobs/5 jobs/4 jobs/3 jobs/2 jobs/1]": nil,
		"[jobs/1]":                             {pb.JobState_JOB_STATE_SUCCEEDED},
	} {
		var names []string
		for job, err := range client.Jobs(within(t), states...) {
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, job.GetName())
		}
		if fmt.Sprint(names) != want {
			t.Errorf("got %v, want %s", names, want)
		}
	}
	if _, err := client.Job(within(t), "jobs/99"); !errors.Is(err, kohort.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}
