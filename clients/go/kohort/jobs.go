// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// A Job is the handle of a job on the server, which lives apart from it and from
// every connection. It is safe for use by several goroutines at once.
type Job struct {
	client *Client
	name   string
	mutex  sync.Mutex
	info   *pb.Job
}

// Job attaches to the job of that name, "jobs/{id}", from any process.
func (c *Client) Job(ctx context.Context, name string) (*Job, error) {
	answer, err := unary(ctx, c, c.training.GetJob, &pb.GetJobRequest{Name: name})
	if err != nil {
		return nil, err
	}
	return newJob(c, answer.GetJob()), nil
}

// Jobs are the jobs of the tenant in these states, or in any where none is given,
// newest first. An error is the last thing that the iterator gives.
func (c *Client) Jobs(ctx context.Context, states ...pb.JobState) iter.Seq2[*pb.Job, error] {
	return pages(func(token string) ([]*pb.Job, string, error) {
		request := &pb.ListJobsRequest{PageSize: pageSize, PageToken: token, States: states}
		answer, err := unary(ctx, c, c.training.ListJobs, request)
		return answer.GetJobs(), answer.GetNextPageToken(), err
	})
}

func newJob(c *Client, info *pb.Job) *Job {
	return &Job{client: c, name: info.GetName(), info: info}
}

// Name is "jobs/{id}".
func (j *Job) Name() string {
	return j.name
}

// Info is the job as it was last seen by this handle. It is not to be changed.
func (j *Job) Info() *pb.Job {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	return j.info
}

func (j *Job) saw(info *pb.Job) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	j.info = info
}

// Refresh asks for the job as it is now.
func (j *Job) Refresh(ctx context.Context) (*pb.Job, error) {
	answer, err := unary(ctx, j.client, j.client.training.GetJob, &pb.GetJobRequest{Name: j.name})
	if err != nil {
		return nil, err
	}
	j.saw(answer.GetJob())
	return answer.GetJob(), nil
}

// Cancel asks the job to stop, and returns it as it is then: CANCELLING as a rule.
// A job that ended first stays as it ended. Safe to repeat.
func (j *Job) Cancel(ctx context.Context) (*pb.Job, error) {
	stopped, err := firstJob(ctx, j.client, j.client.training.Cancel, &pb.CancelRequest{Job: j.name})
	if err != nil {
		return nil, err
	}
	j.saw(stopped.info)
	return stopped.info, nil
}

// Wait waits until the job is over and returns its model. It has no limit but ctx;
// the job goes on when that is over. The error is a [*JobError] where the job failed
// or was cancelled, and [ErrNotFound] for an evaluation, which has a [Job.Report].
func (j *Job) Wait(ctx context.Context) (*pb.Model, error) {
	info, err := j.over(ctx)
	if err != nil {
		return nil, err
	}
	name := info.GetModel()
	if name == "" {
		message := j.name + " made no model: ask an evaluation for its report"
		return nil, &Error{Code: codes.NotFound, Reason: "MODEL_NOT_FOUND", Message: message, ours: true}
	}
	return j.client.Model(ctx, name)
}

// Report waits until the job is over and returns its report: that of an evaluation,
// or of the model that was trained. The error is [ErrNotFound] where the model was
// not evaluated; else see [Job.Wait].
func (j *Job) Report(ctx context.Context) (*pb.Report, error) {
	info, err := j.over(ctx)
	if err != nil {
		return nil, err
	}
	name := info.GetReport()
	if name == "" {
		message := j.name + " has no report: its model was not evaluated"
		return nil, &Error{Code: codes.NotFound, Reason: "REPORT_NOT_FOUND", Message: message, ours: true}
	}
	return j.client.Report(ctx, name)
}

// over waits until the job is over and returns it as it ended, whatever others read of
// its history meanwhile; a *JobError tells that it did not succeed.
func (j *Job) over(ctx context.Context) (*pb.Job, error) {
	for _, err := range j.Events(ctx) {
		if err != nil {
			return nil, err
		}
	}
	info, err := j.Refresh(ctx)
	if err == nil && info.GetState() != pb.JobState_JOB_STATE_SUCCEEDED {
		err = &JobError{info}
	}
	return info, err
}

// updateMessage is a message of the streams that begin with a job.
type updateMessage[R any] interface {
	*R
	GetUpdate() *pb.JobUpdate
}

// firstJob is the job that a stream of updates begins with; the stream is then left,
// which changes nothing for the job.
func firstJob[Q, R any, P updateMessage[R]](
	ctx context.Context, c *Client,
	open func(context.Context, *Q, ...grpc.CallOption) (grpc.ServerStreamingClient[R], error), request *Q,
) (*Job, error) {
	attempts, cancel := c.attempts(ctx, c.settings.timeouts.Call)
	defer cancel()
	for {
		job, err := nextJob[Q, R, P](attempts.ctx(), open, request)
		if err == nil {
			return newJob(c, job), nil
		}
		if err := attempts.again(err); err != nil {
			return nil, err
		}
	}
}

func nextJob[Q, R any, P updateMessage[R]](
	ctx context.Context,
	open func(context.Context, *Q, ...grpc.CallOption) (grpc.ServerStreamingClient[R], error), request *Q,
) (*pb.Job, error) {
	stream, err := open(ctx, request)
	for err == nil {
		var message *R
		if message, err = stream.Recv(); err != nil {
			break
		}
		if job := P(message).GetUpdate().GetJob(); job != nil {
			return job, nil
		}
	}
	if errors.Is(err, io.EOF) {
		err = &IntegrityError{"the stream ended without naming a job"}
	}
	return nil, err
}
