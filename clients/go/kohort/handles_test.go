// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/kohort-health/kohort/clients/go/internal/fakeserver"
	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// One goroutine waits for the model while another reads how the job was before.
func TestWhoWaitsIsNotMisledByWhoReadsTheHistory(t *testing.T) {
	server := fakeserver.Start()
	defer server.Stop()
	client, err := NewClient(server.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dataset, err := UploadRows(ctx, client, func(yield func(struct {
		N int `kohort:"n"`
	}) bool) {
		yield(struct {
			N int `kohort:"n"`
		}{1})
	})
	if err != nil {
		t.Fatal(err)
	}
	job, err := client.Train(ctx, dataset.GetName(), Trainer("copula"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(ctx)
	var readers sync.WaitGroup
	for range 8 {
		readers.Add(1)
		go func() {
			defer readers.Done()
			for ctx.Err() == nil {
				job.saw(&pb.Job{Name: job.name, State: pb.JobState_JOB_STATE_RUNNING})
			}
		}()
	}
	for range 20 {
		if _, err := job.Wait(ctx); err != nil {
			t.Error(err)
			break
		}
	}
	leave()
	readers.Wait()
}
