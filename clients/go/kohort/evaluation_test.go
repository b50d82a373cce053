// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/kohort-health/kohort/clients/go/kohort"
	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

func TestEvaluateToTheReport(t *testing.T) {
	server := serve(t)
	client := dial(t, server.Address)
	model := server.AddModel(&pb.Model{})
	job, err := client.Evaluate(within(t), model.GetName(),
		kohort.Against("datasets/1"), kohort.Holdout("datasets/2"), kohort.DisplayName("Check"),
		kohort.Evaluation(&pb.EvaluationOptions{Profile: pb.EvaluationProfile_EVALUATION_PROFILE_FULL}),
	)
	if err != nil {
		t.Fatal(err)
	}
	report, err := job.Report(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if report.GetModel() != model.GetName() || report.GetDataset() != "datasets/1" || report.GetHoldoutDataset() != "datasets/2" ||
		report.GetOptions().GetProfile() != pb.EvaluationProfile_EVALUATION_PROFILE_FULL {
		t.Errorf("got %v", report)
	}
	if _, err := job.Wait(within(t)); !errors.Is(err, kohort.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound: an evaluation makes no model", err)
	}
	if job, err = client.Evaluate(within(t), "datasets/3", kohort.Against("datasets/1")); err != nil {
		t.Fatal(err)
	}
	if report, err = job.Report(within(t)); err != nil || report.GetSyntheticDataset() != "datasets/3" {
		t.Errorf("got %v and %v", report, err)
	}

	for want, name := range map[int]string{2: "", 1: model.GetName()} {
		count := 0
		for _, err := range client.Reports(within(t), name) {
			if count++; err != nil {
				t.Fatal(err)
			}
		}
		if count != want {
			t.Errorf("%d reports of %q, want %d", count, name, want)
		}
	}
	var page bytes.Buffer
	file, err := client.DownloadReport(within(t), report.GetName(), pb.ReportFormat_REPORT_FORMAT_HTML, &page)
	if err != nil || file.GetMediaType() != "text/html" || page.String() != "<title>reports/2</title>\n" {
		t.Errorf("got %v, %v and %q", file, err, page.String())
	}
	if err := client.DeleteReport(within(t), report.GetName()); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Report(within(t), report.GetName()); !errors.Is(err, kohort.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestReleasePolicy(t *testing.T) {
	server := serve(t)
	client := dial(t, server.Address)
	policy, err := client.ReleasePolicy(within(t))
	if err != nil {
		t.Fatal(err)
	}
	policy.MinHoldoutPatients = 500
	changed, err := client.UpdateReleasePolicy(within(t), policy)
	if err != nil || changed.GetMinHoldoutPatients() != 500 {
		t.Errorf("got %v and %v", changed, err)
	}
	if _, err := client.UpdateReleasePolicy(within(t), policy); !errors.Is(err, kohort.ErrConflict) {
		t.Errorf("got %v, want ErrConflict", err)
	}
	if policy, err = client.UpdateReleasePolicy(within(t), nil); err != nil || policy.GetMinHoldoutPatients() != 100 {
		t.Errorf("got %v and %v", policy, err)
	}
	model := server.AddModel(&pb.Model{})
	release, err := client.OverrideRelease(within(t), model.GetName(), pb.ReleaseState_RELEASE_STATE_LOCKED, "a test")
	if err != nil || release.GetState() != pb.ReleaseState_RELEASE_STATE_LOCKED || release.GetOverride().GetReason() != "a test" {
		t.Errorf("got %v and %v", release, err)
	}
}
