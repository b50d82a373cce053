// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort_test

import (
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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
