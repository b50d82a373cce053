// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"io"
	"iter"
	"strings"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// An EvaluateOption says more about an evaluation.
type EvaluateOption interface {
	evaluate(*pb.EvaluateRequest) error
}

type evaluateOption func(*pb.EvaluateRequest)

func (o evaluateOption) evaluate(request *pb.EvaluateRequest) error {
	o(request)
	return nil
}

// Against names the dataset of real rows to compare with. A model is compared with
// the one that it was made from otherwise.
func Against(dataset string) EvaluateOption {
	return evaluateOption(func(r *pb.EvaluateRequest) { r.Dataset = dataset })
}

// Holdout names a dataset of real patients that the generator never saw. Those that
// training kept aside serve otherwise.
func Holdout(dataset string) EvaluateOption {
	return evaluateOption(func(r *pb.EvaluateRequest) { r.HoldoutDataset = dataset })
}

// Evaluate starts an evaluation and returns once the server has stored the job,
// whose [Job.Report] waits for the result. The subject is a model, "models/{id}", or
// a dataset of synthetic rows, "datasets/{id}", which needs [Against].
func (c *Client) Evaluate(ctx context.Context, subject string, options ...EvaluateOption) (*Job, error) {
	request := &pb.EvaluateRequest{RequestId: newUUID()}
	if strings.HasPrefix(subject, "datasets/") {
		request.Subject = &pb.EvaluateRequest_SyntheticDataset{SyntheticDataset: subject}
	} else {
		request.Subject = &pb.EvaluateRequest_Model{Model: subject}
	}
	for _, option := range options {
		if err := option.evaluate(request); err != nil {
			return nil, err
		}
	}
	return firstJob(ctx, c, c.evaluation.Evaluate, request)
}

// Report is the report of that name, "reports/{id}".
func (c *Client) Report(ctx context.Context, name string) (*pb.Report, error) {
	answer, err := unary(ctx, c, c.evaluation.GetReport, &pb.GetReportRequest{Name: name})
	return answer.GetReport(), err
}

// Reports are the reports of the tenant, newest first; only those of one model where
// its name is not empty. An error is the last thing that the iterator gives.
func (c *Client) Reports(ctx context.Context, model string) iter.Seq2[*pb.Report, error] {
	return pages(func(token string) ([]*pb.Report, string, error) {
		request := &pb.ListReportsRequest{PageSize: pageSize, PageToken: token, Model: model}
		answer, err := unary(ctx, c, c.evaluation.ListReports, request)
		return answer.GetReports(), answer.GetNextPageToken(), err
	})
}

// DeleteReport deletes a report.
func (c *Client) DeleteReport(ctx context.Context, name string) error {
	_, err := unary(ctx, c, c.evaluation.DeleteReport, &pb.DeleteReportRequest{Name: name})
	return err
}

// DownloadReport writes a report to w as HTML or JSON; see [Client.DownloadModel].
func (c *Client) DownloadReport(
	ctx context.Context, name string, format pb.ReportFormat, w io.Writer,
) (*pb.ReportFile, error) {
	request := &pb.DownloadReportRequest{Name: name, Format: format}
	return download[*pb.ReportFile](ctx, c, w, c.evaluation.DownloadReport, request)
}

// ReleasePolicy are the rules that decide whether what a model makes may leave.
func (c *Client) ReleasePolicy(ctx context.Context) (*pb.ReleasePolicy, error) {
	answer, err := unary(ctx, c, c.evaluation.GetReleasePolicy, &pb.GetReleasePolicyRequest{})
	return answer.GetPolicy(), err
}

// UpdateReleasePolicy replaces the policy, or puts the server's default back where
// policy is nil. Its etag is that of the policy as it was read: if somebody else was
// faster, the error is [ErrConflict].
func (c *Client) UpdateReleasePolicy(ctx context.Context, policy *pb.ReleasePolicy) (*pb.ReleasePolicy, error) {
	request := &pb.UpdateReleasePolicyRequest{Policy: policy, Reset_: policy == nil}
	answer, err := unary(ctx, c, c.evaluation.UpdateReleasePolicy, request)
	return answer.GetPolicy(), err
}

// OverrideRelease opens or locks a model against the policy's verdict, and gives the
// reason, in 10 to 2000 characters, for the record. RELEASE_STATE_UNSPECIFIED takes
// an override back.
func (c *Client) OverrideRelease(
	ctx context.Context, model string, state pb.ReleaseState, reason string,
) (*pb.Release, error) {
	request := &pb.OverrideReleaseRequest{Model: model, State: state, Reason: reason}
	answer, err := unary(ctx, c, c.evaluation.OverrideRelease, request)
	return answer.GetRelease(), err
}
